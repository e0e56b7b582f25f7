// Reads what TensorBoard would.
#ifndef GRAFT_TESTS_CLIENT_EVENT_RECORDS_H_
#define GRAFT_TESTS_CLIENT_EVENT_RECORDS_H_

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "client/event_file.h"
#include "tensorboard/event.pb.h"
#include "tests/testing/files.h"

namespace graft::testing {

// The events of a file, which must consist of whole records.
inline std::vector<tensorboard::Event> ReadEventFile(const std::filesystem::path& path) {
  const std::string bytes = ReadText(path);
  std::vector<tensorboard::Event> events;
  size_t at = 0;
  while (at + 8 <= bytes.size()) {
    size_t length = 0;
    for (size_t i = 8; i-- > 0;) {
      length = length << 8 | static_cast<unsigned char>(bytes[at + i]);
    }
    if (length > bytes.size() - at) {
      break;
    }
    const std::string content = bytes.substr(at + 12, length);
    EXPECT_EQ(bytes.substr(at, length + 16), EventRecord(content));
    events.emplace_back();
    EXPECT_TRUE(events.back().ParseFromString(content));
    at += length + 16;
  }
  EXPECT_EQ(at, bytes.size()) << "a record is cut";
  return events;
}

struct Scalar {
  int64_t step;
  double wall_time;
  float value;
};
inline std::map<std::string, std::vector<Scalar>> Scalars(const std::vector<tensorboard::Event>& events) {
  std::map<std::string, std::vector<Scalar>> scalars;
  for (const tensorboard::Event& event : events) {
    for (const auto& value : event.summary().value()) {
      if (value.value_case() == tensorboard::Summary::Value::kSimpleValue) {
        scalars[value.tag()].push_back({event.step(), event.wall_time(), value.simple_value()});
      }
    }
  }
  return scalars;
}
inline std::map<std::string, std::vector<std::string>> Texts(const std::vector<tensorboard::Event>& events) {
  std::map<std::string, std::vector<std::string>> texts;
  for (const tensorboard::Event& event : events) {
    for (const auto& value : event.summary().value()) {
      if (value.metadata().plugin_data().plugin_name() == "text") {
        texts[value.tag()].push_back(value.tensor().string_val(0));
      }
    }
  }
  return texts;
}
inline std::map<std::string, tensorboard::Summary::Image> Images(const std::vector<tensorboard::Event>& events) {
  std::map<std::string, tensorboard::Summary::Image> images;
  for (const tensorboard::Event& event : events) {
    for (const auto& value : event.summary().value()) {
      if (value.has_image()) {
        images[value.tag()] = value.image();
      }
    }
  }
  return images;
}

// What a PNG of this size begins with.
inline std::string PngHeader(char width, char height) {
  return std::string("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0", 19) + width + std::string(3, '\0') + height + "\x08\x02" +
         std::string(7, '\0');
}

}  // namespace graft::testing

#endif  // GRAFT_TESTS_CLIENT_EVENT_RECORDS_H_
