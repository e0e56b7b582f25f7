// Photographs for contact sheets.
#ifndef GRAFT_JOBS_THUMBNAIL_H_
#define GRAFT_JOBS_THUMBNAIL_H_

#include <filesystem>

#include "core/viz/charts.h"

namespace graft {

// Gives a mistake its photograph from the folder of its part. One that has gone since its features were cached stays
// without: the sheet says so, and the scores don't need it.
void AddPhotograph(const std::filesystem::path& folder, Mistake* mistake);

}  // namespace graft

#endif  // GRAFT_JOBS_THUMBNAIL_H_
