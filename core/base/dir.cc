#include "core/base/dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "core/base/status.h"
#include "core/base/text.h"

namespace graft {
namespace {

constexpr int kFolder = O_PATH | O_DIRECTORY;

// The parts of a relative path; EXDEV, as from the kernel, when it could lead out.
int Parts(const std::string& relative, std::vector<std::string>* parts) {
  if (!relative.empty() && relative.front() == '/') {
    return EXDEV;
  }
  for (const absl::string_view part : absl::StrSplit(relative, '/')) {
    if (part == "..") {
      return EXDEV;
    }
    if (!part.empty() && part != ".") {
      parts->emplace_back(part);
    }
  }
  if (parts->empty()) {
    parts->emplace_back(".");
  }
  return 0;
}

// Both return a descriptor or -errno.
int OpenByKernel(int folder, const std::string& relative, int flags) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);  // with O_NOFOLLOW, a link at the end would be "no folder"
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  for (;;) {
    const int64_t fd = syscall(SYS_openat2, folder, relative.c_str(), &how, sizeof(how));
    if (fd >= 0) {
      return static_cast<int>(fd);
    }
    if (errno != EINTR && errno != EAGAIN) {  // EAGAIN: something was renamed meanwhile
      return -errno;
    }
  }
}

int OpenBySteps(int folder, const std::vector<std::string>& parts, int flags) {
  UniqueFd held;
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool last = i + 1 == parts.size();
    const int step = (last ? flags : kFolder) | O_CLOEXEC | O_NOFOLLOW;
    UniqueFd next(openat(folder, parts[i].c_str(), step));
    if (!next.ok()) {
      const int error = errno;
      // Of a link, O_DIRECTORY says only that it isn't a folder.
      struct stat info {};
      const bool link = error == ENOTDIR && fstatat(folder, parts[i].c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
                        S_ISLNK(info.st_mode);
      return link ? -ELOOP : -error;
    }
    held = std::move(next);
    folder = held.get();
  }
  return held.Release();
}

absl::Status OpenError(int error, const std::filesystem::path& path) {
  switch (error) {
    case ELOOP:
      return absl::PermissionDeniedError(
          absl::StrCat(Printable(path.string()),
                       " leads through a symbolic link; those aren't followed here, use the folder itself"));
    case EXDEV:
      return absl::PermissionDeniedError(
          absl::StrCat(Printable(path.string()), " leads out of its folder; use a path below it, without '..'"));
    case ENOTDIR:
      return absl::InvalidArgumentError(absl::StrCat(Printable(path.string()), " is not a folder"));
    default:
      return ErrnoStatus(error, "open", path);
  }
}

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};

}  // namespace

SourceFolder::SourceFolder(std::filesystem::path path, UniqueFd fd, Following following)
    : path_(std::move(path)), fd_(std::move(fd)), following_(following) {}

absl::StatusOr<SourceFolder> SourceFolder::Open(const std::filesystem::path& root,
                                                const std::filesystem::path& relative, Following following) {
  UniqueFd fd(open(root.c_str(), kFolder | O_CLOEXEC));
  if (!fd.ok()) {
    return OpenError(errno, root);
  }
  SourceFolder folder(root, std::move(fd), following);
  if (relative.empty()) {
    return folder;
  }
  GRAFT_ASSIGN_OR_RETURN(UniqueFd below, folder.OpenBelow(relative.native(), kFolder));
  return SourceFolder(root / relative, std::move(below), following);
}

absl::StatusOr<UniqueFd> SourceFolder::OpenBelow(const std::string& relative, int flags) const {
  std::vector<std::string> parts;
  if (const int error = Parts(relative, &parts); error != 0) {
    return OpenError(error, path_ / relative);
  }
  int fd = -ENOSYS;
  if (following_ != Following::kSteps) {
    fd = OpenByKernel(fd_.get(), relative.empty() ? "." : relative, flags);
  }
  // EPERM: what a container's filter answers to a call that it doesn't know.
  if (following_ == Following::kSteps || (following_ == Following::kBest && (fd == -ENOSYS || fd == -EPERM))) {
    fd = OpenBySteps(fd_.get(), parts, flags);
  }
  if (fd < 0) {
    return OpenError(-fd, path_ / relative);
  }
  return UniqueFd(fd);
}

absl::StatusOr<UniqueFd> SourceFolder::OpenFile(const std::filesystem::path& relative) const {
  GRAFT_ASSIGN_OR_RETURN(UniqueFd file, OpenBelow(relative.native(), O_RDONLY | O_NONBLOCK));
  struct stat info {};
  if (fstat(file.get(), &info) != 0) {
    return ErrnoStatus(errno, "open", path_ / relative);
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(Printable((path_ / relative).string()), " is not a regular file"));
  }
  return file;
}

absl::StatusOr<std::vector<uint8_t>> SourceFolder::Read(const std::filesystem::path& relative,
                                                        int64_t max_bytes) const {
  GRAFT_ASSIGN_OR_RETURN(const UniqueFd file, OpenFile(relative));
  return ReadFile(file, path_ / relative, max_bytes);
}

absl::Status SourceFolder::CopyTo(const std::filesystem::path& relative, const std::filesystem::path& to) const {
  GRAFT_ASSIGN_OR_RETURN(const UniqueFd file, OpenFile(relative));
  return CopyFile(file, path_ / relative, to);
}

absl::Status SourceFolder::LinkTo(const std::filesystem::path& relative, const std::filesystem::path& to) const {
  GRAFT_ASSIGN_OR_RETURN(const UniqueFd file, OpenFile(relative));
  GRAFT_ASSIGN_OR_RETURN(const UniqueFd parent, OpenBelow(relative.parent_path().native(), kFolder));
  if (linkat(parent.get(), relative.filename().c_str(), AT_FDCWD, to.c_str(), 0) != 0) {
    if (errno == EXDEV) {
      return absl::FailedPreconditionError(absl::StrCat("cannot hard link to ", Printable(to.string()),
                                                        ": it is on another file system than ",
                                                        Printable(path_.string()), "; use a copy"));
    }
    return ErrnoStatus(errno, "hard link to", to);
  }
  struct stat checked {};
  struct stat linked {};
  if (fstat(file.get(), &checked) != 0 || lstat(to.c_str(), &linked) != 0 || checked.st_ino != linked.st_ino ||
      checked.st_dev != linked.st_dev) {
    unlink(to.c_str());
    return absl::AbortedError(
        absl::StrCat(Printable((path_ / relative).string()), " was replaced while it was being linked; try again"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<TreeFile>> SourceFolder::List(const TreeOptions& options) const {
  std::vector<TreeFile> files;
  // Opened one after the other, from the top: a deep tree costs no stack and no descriptors.
  std::vector<std::string> folders = {""};
  int64_t listed_folders = 0;
  while (!folders.empty()) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    GRAFT_ASSIGN_OR_RETURN(UniqueFd fd, OpenBelow(folder, O_RDONLY | O_DIRECTORY));
    const std::unique_ptr<DIR, CloseDir> dir(fdopendir(fd.get()));
    if (dir == nullptr) {
      return ErrnoStatus(errno, "list", path_ / folder);
    }
    const int dir_fd = fd.Release();  // it is the DIR's now
    for (;;) {
      errno = 0;
      const dirent* entry = readdir(dir.get());
      if (entry == nullptr) {
        if (errno != 0) {
          return ErrnoStatus(errno, "list", path_ / folder);
        }
        break;
      }
      const std::string name = entry->d_name;
      if (name == "." || name == ".." || (name.front() == '.' && !options.hidden)) {
        continue;
      }
      struct stat info {};
      if (fstatat(dir_fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) {  // gone meanwhile
          continue;
        }
        return ErrnoStatus(errno, "list", path_ / folder / name);
      }
      if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
        continue;
      }
      const bool is_folder = S_ISDIR(info.st_mode);
      if ((is_folder ? ++listed_folders : static_cast<int64_t>(files.size()) + 1) > options.max_files) {
        return absl::ResourceExhaustedError(absl::StrCat(Printable(path_.string()), " holds more than ",
                                                         options.max_files, is_folder ? " folders" : " files",
                                                         "; divide it"));
      }
      std::string path = folder.empty() ? name : absl::StrCat(folder, "/", name);
      if (is_folder) {
        folders.push_back(std::move(path));
      } else {
        files.push_back({std::move(path), static_cast<int64_t>(info.st_size)});
      }
    }
  }
  std::sort(files.begin(), files.end(), [](const TreeFile& a, const TreeFile& b) { return a.path < b.path; });
  return files;
}

absl::StatusOr<std::vector<TreeFile>> ListTree(const std::filesystem::path& folder, const TreeOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(const SourceFolder tree, SourceFolder::Open(folder));
  return tree.List(options);
}

}  // namespace graft
