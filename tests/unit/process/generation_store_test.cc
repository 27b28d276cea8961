// SPDX-License-Identifier: Apache-2.0
// Persisted generations: what comes back, and what does not when the file was touched.
#include "dataplane/process/generation_store.h"

#include "tests/support/contents.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/process/seam_helpers.h"

#include <array>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

using holdfast::testing::contents;
using holdfast::testing::TempDirectory;
using ::testing::HasSubstr;

void write_all(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

TEST(GenerationStore, GivesBackTheNewest) {
  const TempDirectory folder;
  const GenerationStore store(folder.path());
  EXPECT_FALSE(store.load().spec.has_value());
  ASSERT_TRUE(store.save(small_generation(1)));
  ASSERT_TRUE(store.save(small_generation(2)));
  const auto loaded = store.load();
  EXPECT_EQ(loaded.spec, small_generation(2));
  EXPECT_EQ(loaded.notice, "");
  const auto mode = std::filesystem::status(folder.file("generation.current")).permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(GenerationStore, FallsBackToThePreviousWhateverByteIsDamaged) {
  const TempDirectory folder;
  const GenerationStore store(folder.path());
  ASSERT_TRUE(store.save(small_generation(1)));
  ASSERT_TRUE(store.save(small_generation(2)));
  const std::string good = contents(folder.file("generation.current"));
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x41);
    write_all(folder.file("generation.current"), bad);
    const auto loaded = store.load();
    ASSERT_EQ(loaded.spec, small_generation(1)) << "byte " << i;
    ASSERT_THAT(loaded.notice, HasSubstr("generation.current is not used")) << "byte " << i;
  }
}

TEST(GenerationStore, FallsBackToThePreviousWhereverTheFileIsCut) {
  const TempDirectory folder;
  const GenerationStore store(folder.path());
  ASSERT_TRUE(store.save(small_generation(1)));
  ASSERT_TRUE(store.save(small_generation(2)));
  const std::string good = contents(folder.file("generation.current"));
  for (std::size_t size = 0; size < good.size(); ++size) {
    write_all(folder.file("generation.current"), good.substr(0, size));
    ASSERT_EQ(store.load().spec, small_generation(1)) << size << " bytes";
  }
}

TEST(GenerationStore, FollowsNoLinkAndReadsNoDirectory) {
  const TempDirectory folder;
  const GenerationStore store(folder.path());
  ASSERT_TRUE(store.save(small_generation(1)));
  std::filesystem::rename(folder.file("generation.current"), folder.file("elsewhere"));
  std::filesystem::create_symlink(folder.file("elsewhere"), folder.file("generation.current"));
  std::filesystem::create_directory(folder.file("generation.previous"));
  const auto loaded = store.load();
  EXPECT_FALSE(loaded.spec.has_value());
  EXPECT_THAT(loaded.notice, HasSubstr("generation.current"));
  EXPECT_THAT(loaded.notice, HasSubstr("generation.previous"));
}

// What happened to files of that name in a folder since.
class Watch {
 public:
  explicit Watch(const std::string& folder)
      : descriptor_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    ::inotify_add_watch(descriptor_, folder.c_str(), IN_MOVE | IN_DELETE | IN_CREATE);
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() { ::close(descriptor_); }

  std::uint32_t seen_of(std::string_view name) {
    std::uint32_t seen = 0;
    alignas(inotify_event) std::array<char, 4096> buffer{};
    for (ssize_t size = 0; (size = ::read(descriptor_, buffer.data(), buffer.size())) > 0;) {
      for (ssize_t at = 0; at < size;) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
        seen |= event->len > 0 && name == event->name ? event->mask : 0U;
        at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      }
    }
    return seen;
  }

 private:
  int descriptor_;
};

TEST(GenerationStore, TheCurrentOneIsThereAtEveryMoment) {
  const TempDirectory folder;
  const GenerationStore store(folder.path());
  ASSERT_TRUE(store.save(small_generation(1)));
  Watch watch(folder.path());
  ASSERT_TRUE(store.save(small_generation(2)));
  EXPECT_EQ(watch.seen_of("generation.current"), std::uint32_t{IN_MOVED_TO});
  ASSERT_TRUE(store.save(small_generation(3)));
  std::filesystem::remove(folder.file("generation.current"));
  EXPECT_EQ(store.load().spec, small_generation(2));
}

TEST(GenerationStore, SaysWhyItCannotWrite) {
  const TempDirectory folder;
  const GenerationStore store(folder.file("missing"));
  const auto saved = store.save(small_generation(1));
  ASSERT_FALSE(saved.has_value());
  EXPECT_THAT(saved.error(), HasSubstr("No such file"));
}

}  // namespace
}  // namespace holdfast::dataplane
