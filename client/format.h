// How tables and reports look to a person; numbers and times are in core/base/readable.h.
#ifndef GRAFT_CLIENT_FORMAT_H_
#define GRAFT_CLIENT_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/readable.h"
#include "graft/v1/models.pb.h"

namespace graft {

// Columns that a text takes on a terminal: code points of its UTF-8.
size_t Columns(const std::string& text);
// The text filled up with spaces, or cut, to a number of columns.
std::string Padded(const std::string& text, size_t columns, bool right = false);
std::string ClippedToColumns(const std::string& text, size_t columns);

// Columns aligned, first row the heading. `right`: columns of numbers.
std::string Table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right = {});

// As Keras's summary.
std::string LayerTable(const google::protobuf::RepeatedPtrField<v1::Layer>& layers);
// Per-class table, averages, confusion matrix, AUC and log loss.
std::string ReportText(const v1::EvaluationReport& report);

// What is said of a damaged data set or model, with the command that removes it; empty when nothing is.
std::string DamageText(const std::string& name, const std::string& damage, const std::string& remove);

// [#####.....] for a share of 0 to 1.
std::string Bar(double share, int width);

// On one line, with proto field names and with fields that have their default.
std::string JsonText(const google::protobuf::Message& message);

}  // namespace graft

#endif  // GRAFT_CLIENT_FORMAT_H_
