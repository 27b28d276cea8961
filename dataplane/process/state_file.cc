// SPDX-License-Identifier: Apache-2.0
// See state_file.h.
#include "dataplane/process/state_file.h"

#include "dataplane/process/lock.h"

#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

// An empty text when no hugetlbfs is mounted where we may write.
std::string huge_folder() {
  std::ifstream mounts("/proc/self/mounts");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string device, folder, type, options;
    fields >> device >> folder >> type >> options;
    const bool other_size = options.find("pagesize=") != std::string::npos &&
                            options.find("pagesize=2M") == std::string::npos;
    if (type == "hugetlbfs" && !other_size && ::access(folder.c_str(), W_OK) == 0) {
      return folder;
    }
  }
  return {};
}

bool on_huge_pages(const Descriptor& file) {
  struct statfs status{};
  return ::fstatfs(file.get(), &status) == 0 && status.f_type == HUGETLBFS_MAGIC;
}

Result<Descriptor> open_locked(const std::string& path) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) {
    return fail(ExitCode::kEnvironment,
                fmt::format("cannot open the state file {}: {}", path, strerror(errno)));
  }
  struct stat status{};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(ExitCode::kEnvironment,
                fmt::format("the state file {} is no regular file: remove it", path));
  }
  if (auto locked = lock_file(file, "the state file " + path); !locked) {
    return std::unexpected(locked.error());
  }
  ::fchmod(file.get(), 0600);
  return file;
}

// Reserves every page, so that a full file system shows here and not as SIGBUS under load.
Result<std::span<std::byte>> map(const Descriptor& file,
                                 const std::string& path,
                                 std::size_t size) {
  if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0 ||
      ::fallocate(file.get(), 0, 0, static_cast<off_t>(size)) != 0) {
    const int error = errno;
    struct statvfs space{};
    ::fstatvfs(file.get(), &space);
    return fail(
        ExitCode::kEnvironment,
        fmt::format("the state file {} needs {} MiB, {} MiB are free there ({}): free some, "
                    "enlarge the file system or lower dataplane.flows",
                    path,
                    size >> 20U,
                    (space.f_bavail * space.f_frsize) >> 20U,
                    strerror(error)));
  }
  void* memory =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file.get(), 0);
  if (memory == MAP_FAILED) {
    return fail(ExitCode::kEnvironment,
                fmt::format("cannot map {} MiB of {}: {}: raise the limit on address space (ulimit "
                            "-v) or lower dataplane.flows",
                            size >> 20U,
                            path,
                            strerror(errno)));
  }
  ::madvise(memory, size, MADV_HUGEPAGE);
  ::madvise(memory, size, MADV_DONTDUMP);
  return std::span(static_cast<std::byte*>(memory), size);
}

std::size_t size_of(const Descriptor& file) {
  struct stat status{};
  return ::fstat(file.get(), &status) == 0 ? static_cast<std::size_t>(status.st_size) : 0;
}

struct Opened {
  Descriptor file;
  std::span<std::byte> memory;
};

Result<Opened> open_and_map(const std::string& path, std::size_t size) {
  auto file = open_locked(path);
  if (!file) {
    return std::unexpected(file.error());
  }
  auto memory = map(*file, path, size);
  if (!memory) {
    return std::unexpected(memory.error());
  }
  return Opened{.file = std::move(*file), .memory = *memory};
}

// Opens a new file at `path`. The old one, put aside, gives way when there is no room for both.
Result<Opened> open_beside(const std::string& path, std::size_t size) {
  const std::string aside = path + ".aside";
  auto opened = open_and_map(path, size);
  if (!opened && opened.error().code == ExitCode::kEnvironment && ::unlink(aside.c_str()) == 0) {
    opened = open_and_map(path, size);
  }
  return opened;
}

// Of this boot; all zero where the kernel does not say.
BootId load_boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  BootId id{};
  std::size_t digits = 0;
  for (char c = 0; digits < 2 * id.size() && file.get(c);) {
    if (std::isxdigit(static_cast<unsigned char>(c)) != 0) {
      const int value = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
      id[digits / 2] = static_cast<std::uint8_t>(id[digits / 2] << 4 | value);
      ++digits;
    }
  }
  return id;
}

// Removes the state in the default place that is not used, unless another process has it.
void remove_other(const std::string& path, const StartupSpec& startup) {
  for (const bool huge : {true, false}) {
    const std::string other = default_state_path(startup.instance, huge);
    const Descriptor file(::open(other.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (startup.state_file.empty() && other != path && file.valid() &&
        lock_file(file, other).has_value()) {
      ::unlink(other.c_str());
    }
  }
}

}  // namespace

StatesFound load_states_found(const StartupSpec& startup) {
  StatesFound found;
  std::vector<std::string> paths = {startup.state_file};
  if (startup.state_file.empty()) {
    paths = {default_state_path(startup.instance, true),
             default_state_path(startup.instance, false)};
  }
  for (const std::string& path : paths) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat status{};
    if (file.valid() && ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode)) {
      constexpr std::size_t kBlock = 512;  // of st_blocks, whatever the file system
      (on_huge_pages(file) ? found.huge : found.ordinary) = {
          .file_bytes = static_cast<std::size_t>(status.st_size),
          .held_bytes = static_cast<std::size_t>(status.st_blocks) * kBlock};
    }
  }
  return found;
}

std::string default_state_path(const std::string& instance, bool huge_pages) {
  const std::string folder = huge_pages ? huge_folder() : std::string();
  return fmt::format("{}/holdfast-{}-{}.state",
                     folder.empty() ? "/dev/shm" : folder,
                     instance.empty() ? "default" : instance,
                     ::geteuid());
}

StateFile::StateFile(std::string path,
                     Descriptor file,
                     std::span<std::byte> memory,
                     SharedState state)
    : path_(std::move(path)), file_(std::move(file)), memory_(memory), state_(state) {}

StateFile::StateFile(StateFile&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::move(other.file_)),
      memory_(std::exchange(other.memory_, {})),
      state_(other.state_),
      adopted_(other.adopted_),
      notices_(std::move(other.notices_)) {}

StateFile::~StateFile() {
  if (!memory_.empty()) {
    ::munmap(memory_.data(), memory_.size());
  }
}

Result<StateFile> StateFile::open(const StartupSpec& startup, const MemoryPlan& plan) {
  const std::string path = startup.state_file.empty()
                               ? default_state_path(startup.instance, plan.huge_state)
                               : startup.state_file;
  const std::size_t size = plan.state_file_bytes();
  const BootId boot = load_boot_id();
  auto file = open_locked(path);
  if (!file) {
    return std::unexpected(file.error());
  }
  std::string unusable;
  if (const std::size_t old = size_of(*file); old == size) {
    auto memory = map(*file, path, size);
    if (!memory) {
      return std::unexpected(memory.error());
    }
    if (auto state = SharedState::adopt(*memory, plan.geometry, startup.hash_key, boot); state) {
      StateFile adopted(path, std::move(*file), *memory, *state);
      adopted.adopted_ = true;
      remove_other(path, startup);
      adopted.note_mended();
      adopted.note_pages();
      return adopted;
    } else {
      unusable = state.error();
    }
    ::munmap(memory->data(), memory->size());
  } else if (old != 0) {
    unusable = "other sizes: worker count or `flows` changed";
  }
  if (!unusable.empty()) {
    ::rename(path.c_str(), (path + ".aside").c_str());
  }
  file->close();
  auto opened = open_beside(path, size);
  if (!opened) {
    return std::unexpected(opened.error());
  }
  const SharedState empty =
      SharedState::format(opened->memory, plan.geometry, startup.hash_key, boot);
  StateFile fresh(path, std::move(opened->file), opened->memory, empty);
  if (!unusable.empty()) {
    fresh.notices_.push_back(fmt::format(
        "flows of before are lost: the state file was put aside as {}.aside: {}", path, unusable));
  }
  remove_other(path, startup);
  fresh.note_pages();
  return fresh;
}

void StateFile::note_mended() {
  if (const std::size_t mended = state_.mended_dispositions(); mended != 0) {
    notices_.push_back(fmt::format(
        "dispositions of {} members were damaged in {}: they keep their flows and take no new ones "
        "until control says otherwise",
        mended,
        path_));
  }
}

void StateFile::note_pages() {
  if (!on_huge_pages(file_)) {
    notices_.push_back(fmt::format(
        "flow tables are not on huge pages ({}): lookups are slower at 100k flows and more",
        path_));
  }
}

}  // namespace holdfast::dataplane
