// SPDX-License-Identifier: Apache-2.0
// See revisions.h.
#include "control/engine/revisions.h"

#include "control/publish/durable_file.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

namespace holdfast::control {
namespace {

constexpr std::size_t kMaxBytes = 24U << 20U;  // above what a configuration may have
constexpr std::string_view kHeader = "holdfast revision 1\n";
constexpr std::string_view kPrefix = "revision-";

std::optional<std::uint64_t> number_of(std::string_view file) {
  if (!file.starts_with(kPrefix)) {
    return std::nullopt;
  }
  file.remove_prefix(kPrefix.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(file.data(), file.data() + file.size(), number);
  if (error != std::errc() || end != file.data() + file.size()) {
    return std::nullopt;
  }
  return number;
}

bool take(std::string_view& text, std::string_view expected) {
  const bool there = text.starts_with(expected);
  text.remove_prefix(there ? expected.size() : 0);
  return there;
}

bool take_number(std::string_view& text, std::size_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return error == std::errc();
}

// That many bytes and the line end behind them.
bool take_bytes(std::string_view& text, std::size_t bytes, std::string& out) {
  if (bytes >= text.size()) {
    return false;
  }
  out = text.substr(0, bytes);
  text.remove_prefix(bytes);
  return take(text, "\n");
}

std::string path_of(const std::string& directory, std::uint64_t number) {
  return directory + "/" + std::string(kPrefix) + std::to_string(number);
}

// Newest first.
std::vector<std::uint64_t> numbers_in(const std::string& directory) {
  std::vector<std::uint64_t> numbers;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    if (const auto number = number_of(entry.path().filename().string())) {
      numbers.push_back(*number);
    }
  }
  std::ranges::sort(numbers, std::greater());
  return numbers;
}

}  // namespace

std::string revision_to_text(const Revision& revision) {
  std::string out(kHeader);
  for (const config::SourceFile& file : revision.sources) {
    out += "file " + std::to_string(file.name.size()) + ' ' + std::to_string(file.text.size()) +
           '\n' + file.name + '\n' + file.text + '\n';
  }
  return out;
}

std::expected<Revision, std::string> revision_from_text(std::uint64_t number,
                                                        std::string_view text) {
  Revision revision{.number = number, .sources = {}};
  bool whole = take(text, kHeader);
  while (whole && !text.empty()) {
    std::size_t name_bytes = 0;
    std::size_t text_bytes = 0;
    config::SourceFile& file = revision.sources.emplace_back();
    whole = take(text, "file ") && take_number(text, name_bytes) && take(text, " ") &&
            take_number(text, text_bytes) && take(text, "\n") &&
            take_bytes(text, name_bytes, file.name) && take_bytes(text, text_bytes, file.text);
  }
  if (!whole || revision.sources.empty()) {
    return std::unexpected("is no whole revision");
  }
  return revision;
}

std::expected<void, std::string> save_revision(const std::string& directory,
                                               const Revision& revision) {
  auto written = write_durably(path_of(directory, revision.number), revision_to_text(revision));
  if (!written) {
    return written;
  }
  const std::vector<std::uint64_t> numbers = numbers_in(directory);
  for (std::size_t i = kRevisionsKept; i < numbers.size(); ++i) {
    std::error_code ignored;
    std::filesystem::remove(path_of(directory, numbers[i]), ignored);
  }
  return {};
}

NewestRevision load_newest_revision(const std::string& directory) {
  NewestRevision newest;
  const std::vector<std::uint64_t> numbers = numbers_in(directory);
  newest.highest = numbers.empty() ? 0 : numbers.front();
  for (const std::uint64_t number : numbers) {
    const std::string path = path_of(directory, number);
    const auto text = read_whole(path, kMaxBytes);
    if (!text) {
      newest.problems.push_back(text.error());
      continue;
    }
    auto revision = revision_from_text(number, text->value_or(""));
    if (!revision) {
      newest.problems.push_back(path + ": " + revision.error());
      continue;
    }
    newest.revision = std::move(*revision);
    break;
  }
  return newest;
}

}  // namespace holdfast::control
