// SPDX-License-Identifier: Apache-2.0
// See state_file.h.
#include "dataplane/process/state_file.h"

#include "dataplane/process/lock.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
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

// What an earlier process left.
struct Former {
  std::optional<MappedState> state;
  std::string unusable;  // why it is not used; empty: it is, or there is nothing
  std::string path;      // where it stands; empty: there is nothing
};

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

void unmap(std::span<std::byte> memory) { ::munmap(memory.data(), memory.size()); }

std::string aside_of(const std::string& path) { return path + ".aside"; }

// Opens a new file at `path`. The old one, put aside, gives way when there is no room for both, and
// with it what it was to give.
Result<Opened> open_beside(const std::string& path, std::size_t size, Former& former) {
  auto opened = open_and_map(path, size);
  if (!opened && opened.error().code == ExitCode::kEnvironment) {
    if (former.state) {
      unmap(former.state->memory);
      former.state.reset();
      former.unusable = "there is no room for the state of before beside the new one";
    }
    if (::unlink(aside_of(path).c_str()) == 0) {
      opened = open_and_map(path, size);
    }
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

// What stands in the file, of whatever sizes.
Former map_former(Descriptor file, const std::string& path, const HashKey& key) {
  Former former;
  const std::size_t size = size_of(file);
  if (size == 0) {
    return former;
  }
  former.path = path;
  auto memory = map(file, path, size);
  if (!memory) {
    former.unusable = memory.error().text;
    return former;
  }
  if (auto state = SharedState::adopt_resized(*memory, key, load_boot_id()); state) {
    former.state.emplace(std::move(file), *memory, *state);
  } else {
    former.unusable = state.error();
    unmap(*memory);
  }
  return former;
}

// Whether the process that made this file ended before the flows of before were in it.
bool is_unfilled(const Descriptor& file) {
  std::array<std::byte, 8> start{};
  return ::pread(file.get(), start.data(), start.size(), 0) == static_cast<ssize_t>(start.size()) &&
         SharedState::is_unfilled(start);
}

// What an earlier process left at `path`; where that is not filled yet, what it was to be filled
// from.
Former find_former(Descriptor file, const std::string& path, const HashKey& key) {
  if (!is_unfilled(file)) {
    return map_former(std::move(file), path, key);
  }
  auto aside = open_locked(aside_of(path));
  return aside ? map_former(std::move(*aside), aside_of(path), key)
               : Former{.state = {}, .unusable = aside.error().text, .path = aside_of(path)};
}

// Leaves `path` free, what stood there at `<path>.aside`.
void make_way(const std::string& path, const Former& former) {
  if (former.path == path) {
    ::rename(path.c_str(), aside_of(path).c_str());
  } else if (!former.path.empty()) {
    ::unlink(path.c_str());
  }
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

Result<std::string> examine_state(const StartupSpec& startup) {
  std::vector<std::string> paths = {startup.state_file};
  if (startup.state_file.empty()) {
    paths = {default_state_path(startup.instance, true),
             default_state_path(startup.instance, false)};
  }
  for (const std::string& path : paths) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    const std::size_t size = file.valid() ? size_of(file) : 0;
    if (size == 0) {
      continue;
    }
    std::vector<std::byte> front(std::min(size, SharedState::front_bytes()));
    const ssize_t read = ::pread(file.get(), front.data(), front.size(), 0);
    front.resize(static_cast<std::size_t>(std::max<ssize_t>(read, 0)));
    const auto found = SharedState::examine(front, size, startup.hash_key, load_boot_id());
    if (!found) {
      return fail(ExitCode::kRefused,
                  fmt::format("the flows in {} would be lost: {}", path, found.error()));
    }
    return fmt::format("the flows in {}, of {} workers, go on", path, found->workers);
  }
  return std::string("there is no state file: there are no flows to go on with");
}

std::string default_state_path(const std::string& instance, bool huge_pages) {
  const std::string folder = huge_pages ? huge_folder() : std::string();
  return fmt::format("{}/holdfast-{}-{}.state",
                     folder.empty() ? "/dev/shm" : folder,
                     instance.empty() ? "default" : instance,
                     ::geteuid());
}

StateFile::StateFile(std::string path, MappedState mapped)
    : path_(std::move(path)),
      file_(std::move(mapped.file)),
      memory_(mapped.memory),
      state_(mapped.state) {}

StateFile::StateFile(StateFile&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::move(other.file_)),
      memory_(std::exchange(other.memory_, {})),
      state_(other.state_),
      adopted_(other.adopted_),
      former_(std::exchange(other.former_, std::nullopt)),
      notices_(std::move(other.notices_)) {}

StateFile::~StateFile() {
  if (!memory_.empty()) {
    unmap(memory_);
  }
  if (former_) {
    unmap(former_->memory);
  }
}

Result<StateFile> StateFile::open(const StartupSpec& startup, const MemoryPlan& plan) {
  const std::string path = startup.state_file.empty()
                               ? default_state_path(startup.instance, plan.huge_state)
                               : startup.state_file;
  auto file = open_locked(path);
  if (!file) {
    return std::unexpected(file.error());
  }
  Former former = find_former(std::move(*file), path, startup.hash_key);
  if (former.state && former.state->state.geometry() == plan.geometry &&
      former.state->memory.size() == plan.state_file_bytes()) {
    if (former.path != path) {
      ::rename(former.path.c_str(), path.c_str());
    }
    StateFile adopted(path, std::move(*former.state));
    adopted.adopted_ = true;
    remove_other(path, startup);
    adopted.note_mended();
    adopted.note_pages();
    return adopted;
  }
  make_way(path, former);
  auto opened = open_beside(path, plan.state_file_bytes(), former);
  if (!opened) {
    return std::unexpected(opened.error());
  }
  const SharedState empty =
      SharedState::format(opened->memory, plan.geometry, startup.hash_key, load_boot_id());
  StateFile fresh(path, {std::move(opened->file), opened->memory, empty});
  if (former.state) {
    fresh.state_.begin_as(former.state->state);
    fresh.former_ = std::move(former.state);
    fresh.note_mended();
  } else if (!former.unusable.empty()) {
    fresh.notices_.push_back(
        fmt::format("flows of before are lost: the state file was put aside as {}: {}",
                    aside_of(path),
                    former.unusable));
  }
  remove_other(path, startup);
  fresh.note_pages();
  return fresh;
}

Result<StateFile> StateFile::share(const StartupSpec& startup,
                                   const MemoryPlan& plan,
                                   Descriptor file) {
  const std::size_t size = size_of(file);
  if (size != plan.state_file_bytes()) {
    return fail(ExitCode::kRefused,
                fmt::format("the state file in use has {} bytes, this program wants {}",
                            size,
                            plan.state_file_bytes()));
  }
  std::error_code error;
  const std::string path =
      std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", file.get()), error);
  auto memory = map(file, path, size);
  if (!memory) {
    return std::unexpected(memory.error());
  }
  auto state = SharedState::attach(*memory, plan.geometry, startup.hash_key, load_boot_id());
  if (!state) {
    unmap(*memory);
    return fail(ExitCode::kRefused,
                "the state file in use cannot be gone on with: " + state.error());
  }
  StateFile shared(path, {std::move(file), *memory, *state});
  shared.adopted_ = true;
  shared.note_pages();
  return shared;
}

// The name may be another user's by now, so that it cannot be removed; the memory is this one's.
void StateFile::settle() {
  state_.complete();
  if (former_) {
    unmap(former_->memory);
    [[maybe_unused]] const int emptied = ::ftruncate(former_->file.get(), 0);
    ::unlink(aside_of(path_).c_str());
    former_.reset();
  }
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
