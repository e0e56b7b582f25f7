// Where the program's output goes.
#ifndef GRAFT_CLIENT_OUTPUT_H_
#define GRAFT_CLIENT_OUTPUT_H_

#include <array>
#include <streambuf>

namespace graft {

// The buffer of an ostream over a file descriptor, which it doesn't own. Unlike the standard's it keeps why a write
// failed: nobody reads any more (EPIPE), or the disk is full. Writes nothing after that. Not thread-safe.
class FdBuffer : public std::streambuf {
 public:
  explicit FdBuffer(int fd);

  // The first write's errno that failed; 0 when none did.
  int error() const { return error_; }

 protected:
  int_type overflow(int_type character) override;
  int sync() override;

 private:
  const int fd_;
  int error_ = 0;
  std::array<char, 8192> bytes_;
};

}  // namespace graft

#endif  // GRAFT_CLIENT_OUTPUT_H_
