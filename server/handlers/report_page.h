// A model's report as one web page that needs nothing beside it.
#ifndef GRAFT_SERVER_HANDLERS_REPORT_PAGE_H_
#define GRAFT_SERVER_HANDLERS_REPORT_PAGE_H_

#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "core/eval/predictions.h"
#include "core/store/data_folder.h"

namespace graft {

// `pictures`: PNG files by their path in the model's folder; what isn't there is left out of the page. Everything else
// is the entry's, whose description must be whole. `mistakes`: labels that are probably wrong; null: nobody has looked
// for them. Each string is escaped; the page has no script, loads nothing, and says so to the browser.
std::string ReportPage(const ModelEntry& entry, const LabelMistakes* mistakes,
                       const std::map<std::string, std::string>& pictures);

// File, true and predicted class and each class's probability, a line each (RFC 4180), most confident mistakes first.
std::string PredictionsCsv(const Predictions& predictions);

// For the text of a page or an attribute in quotes: UTF-8 without harmful code points, and no character that HTML
// reads as its own.
std::string EscapeHtml(absl::string_view text);

}  // namespace graft

#endif  // GRAFT_SERVER_HANDLERS_REPORT_PAGE_H_
