// How numbers, times and tables look to a person.
#ifndef GRAFT_CLIENT_FORMAT_H_
#define GRAFT_CLIENT_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "graft/v1/models.pb.h"

namespace graft {

// 19,024,513.
std::string Thousands(int64_t number);
// 17.8 MB.
std::string Bytes(int64_t bytes);
// 0.4s, 12s, 3m 05s, 2h 07m.
std::string Duration(double seconds);
// 2026-11-24 09:39:38, UTC.
std::string Time(int64_t unix_seconds);

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
