// SPDX-License-Identifier: Apache-2.0
// See revisions.h.
#include "control/engine/revisions.h"

#include "control/publish/durable_file.h"
#include "dataplane/fnv.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>

#include <fmt/format.h>

namespace holdfast::control {
namespace {

constexpr std::size_t kMaxBytes = 24U << 20U;  // above what a configuration may have
constexpr std::string_view kHeader = "holdfast revision 2\n";
constexpr std::string_view kOldHeader = "holdfast revision 1\n";  // has no "about"
constexpr std::string_view kPrefix = "revision-";
constexpr std::uint64_t kHighest = std::uint64_t{1} << 53U;  // what JSON's readers keep exact

std::optional<std::uint64_t> number_of(std::string_view file) {
  if (!file.starts_with(kPrefix)) {
    return std::nullopt;
  }
  file.remove_prefix(kPrefix.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(file.data(), file.data() + file.size(), number);
  if (error != std::errc() || end != file.data() + file.size() || number > kHighest) {
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

struct AboutText {
  std::string_view key;
  std::string RevisionAbout::* text;
};
constexpr std::array<AboutText, 5> kAboutTexts = {{{"who", &RevisionAbout::who},
                                                   {"reason", &RevisionAbout::reason},
                                                   {"origin", &RevisionAbout::origin},
                                                   {"config", &RevisionAbout::config_path},
                                                   {"set-aside", &RevisionAbout::set_aside}}};

struct AboutNumber {
  std::string_view key;
  std::uint64_t RevisionAbout::* number;
};
constexpr std::array<AboutNumber, 3> kAboutNumbers = {
    {{"back-to", &RevisionAbout::back_to},
     {"confirm-ms", &RevisionAbout::confirm_ms},
     {"falls-back-to", &RevisionAbout::falls_back_to}}};

std::string about_to_text(const RevisionAbout& about) {
  std::string text = fmt::format("unix-ms {}\n", about.unix_ms);
  for (const AboutNumber& one : kAboutNumbers) {
    text += fmt::format("{} {}\n", one.key, about.*one.number);
  }
  for (const AboutText& one : kAboutTexts) {
    text += fmt::format("{} {}\n", one.key, about.*one.text);
  }
  return text;
}

template <typename Number>
void read_number(std::string_view text, Number& number) {
  std::from_chars(text.data(), text.data() + text.size(), number);
}

// Keys of newer versions are left out.
RevisionAbout about_from_text(std::string_view text) {
  RevisionAbout about;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::string_view key = line.substr(0, line.find(' '));
    const std::string_view value = line.substr(std::min(key.size() + 1, line.size()));
    const auto* const known = std::ranges::find(kAboutTexts, key, &AboutText::key);
    const auto* const number = std::ranges::find(kAboutNumbers, key, &AboutNumber::key);
    if (known != kAboutTexts.end()) {
      about.*known->text = value;
    } else if (number != kAboutNumbers.end()) {
      read_number(value, about.*number->number);
    } else if (key == "unix-ms") {
      read_number(value, about.unix_ms);
    }
  }
  return about;
}

bool take_about(std::string_view& text, RevisionAbout& about) {
  std::size_t bytes = 0;
  std::string lines;
  const bool whole = take(text, "about ") && take_number(text, bytes) && take(text, "\n") &&
                     take_bytes(text, bytes, lines);
  about = about_from_text(lines);
  return whole;
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
  const std::string about = about_to_text(revision.about);
  std::string out(kHeader);
  out.append("about ").append(std::to_string(about.size())).append("\n").append(about).append("\n");
  for (const config::SourceFile& file : revision.sources) {
    out += "file " + std::to_string(file.name.size()) + ' ' + std::to_string(file.text.size()) +
           '\n' + file.name + '\n' + file.text + '\n';
  }
  return out;
}

std::expected<Revision, std::string> revision_from_text(std::uint64_t number,
                                                        std::string_view text) {
  Revision revision{.number = number, .about = {}, .sources = {}};
  bool whole = take(text, kOldHeader) || (take(text, kHeader) && take_about(text, revision.about));
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
    if (numbers[i] != revision.about.falls_back_to) {
      std::error_code ignored;
      std::filesystem::remove(path_of(directory, numbers[i]), ignored);
    }
  }
  return {};
}

std::expected<Revision, std::string> load_revision(const std::string& directory,
                                                   std::uint64_t number) {
  const std::string path = path_of(directory, number);
  const auto read = read_whole(path, kMaxBytes);
  if (!read) {
    return std::unexpected(read.error());
  }
  const std::optional<std::string>& text = *read;
  if (!text) {
    return std::unexpected("there is no revision " + std::to_string(number));
  }
  auto revision = revision_from_text(number, *text);
  if (!revision) {
    return std::unexpected(path + ": " + revision.error());
  }
  return revision;
}

NewestRevision load_newest_revision(const std::string& directory) {
  NewestRevision newest;
  const std::vector<std::uint64_t> numbers = numbers_in(directory);
  newest.highest = numbers.empty() ? 0 : numbers.front();
  for (const std::uint64_t number : numbers) {
    auto revision = load_revision(directory, number);
    if (revision) {
      newest.revision = std::move(*revision);
      break;
    }
    newest.problems.push_back(revision.error());
  }
  return newest;
}

std::vector<ListedRevision> list_revisions(const std::string& directory) {
  std::vector<ListedRevision> listed;
  for (const std::uint64_t number : numbers_in(directory)) {
    const auto revision = load_revision(directory, number);
    listed.push_back({.number = number,
                      .about = revision ? revision->about : RevisionAbout(),
                      .problem = revision ? "" : revision.error()});
  }
  return listed;
}

std::string fingerprint(std::span<const config::SourceFile> sources) {
  std::uint64_t hash = dataplane::kFnvStart;
  const auto add = [&hash](std::string_view text) {
    constexpr std::uint64_t kEnd = 0x100;  // of a text: no byte
    hash = (dataplane::fnv1a(text, hash) ^ kEnd) * dataplane::kFnvPrime;
  };
  for (const config::SourceFile& file : sources) {
    add(file.name);
    add(file.text);
  }
  return fmt::format("{:016x}", hash);
}

}  // namespace holdfast::control
