// SPDX-License-Identifier: Apache-2.0
// Turns marks into places with their source line, and orders them.
#include "config/journal.h"

#include "config/utf8.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr std::size_t kWindow = 120;       // bytes of a long line that are kept
constexpr std::size_t kWindowBefore = 60;  // of them before the place

// Messages quote names, which may be as long as the file.
constexpr std::size_t kLongestMessage = 600;

void cut(std::string& message) {
  if (message.size() > kLongestMessage) {
    message.resize(character_boundary(message, kLongestMessage));
    message += "...";
  }
}

struct Window {
  std::string line;
  int column = 1;
};

Window window(std::string_view line, int column) {
  if (line.size() <= kWindow) {
    return {std::string(line), column};
  }
  const std::size_t at = std::min(static_cast<std::size_t>(std::max(column, 1)) - 1, line.size());
  const std::size_t begin = at > kWindowBefore ? character_boundary(line, at - kWindowBefore) : 0;
  const std::size_t end = character_boundary(line, std::min(begin + kWindow, line.size()));
  const std::string_view before = begin > 0 ? "..." : "";
  const std::string_view after = end < line.size() ? "..." : "";
  return {fmt::format("{}{}{}", before, line.substr(begin, end - begin), after),
          static_cast<int>(before.size() + at - begin) + 1};
}

}  // namespace

std::uint16_t Journal::add_file(std::string_view name, std::string_view text) {
  files_.push_back({name, text, {}});
  return static_cast<std::uint16_t>(files_.size() - 1);
}

const std::vector<std::uint32_t>& Journal::lines(std::uint16_t file) {
  std::vector<std::uint32_t>& starts = files_[file].line_starts;
  const std::string_view text = files_[file].text;
  if (starts.empty()) {
    starts.push_back(0);
    for (std::size_t at = 0; (at = text.find('\n', at)) != std::string_view::npos;) {
      starts.push_back(static_cast<std::uint32_t>(++at));
    }
  }
  return starts;
}

void Journal::error(Span where, std::string message, std::string help) {
  if (errors_++ < limit_) {
    add(Severity::kError, where, std::move(message), std::move(help));
  }
}

void Journal::warning(Span where, std::string message, std::string help) {
  if (warnings_++ < limit_) {
    add(Severity::kWarning, where, std::move(message), std::move(help));
  }
}

Place Journal::place(Span where) const {
  return {std::string(files_[where.file].name), where.line, where.column};
}

void Journal::add(Severity severity, Span where, std::string message, std::string help) {
  cut(message);
  cut(help);
  auto [line, column] = window(line_of(where), where.column);
  kept_.push_back({where,
                   {.severity = severity,
                    .place = place(where),
                    .length = where.length,
                    .message = std::move(message),
                    .help = std::move(help),
                    .line = std::move(line),
                    .line_column = column}});
}

Span Journal::span_at(std::uint16_t file, std::size_t offset, std::size_t length) {
  const auto next = std::ranges::upper_bound(lines(file), offset);
  return {file,
          static_cast<std::int32_t>(next - lines(file).begin()),
          static_cast<std::int32_t>(offset - *std::prev(next)) + 1,
          static_cast<std::int32_t>(length)};
}

std::size_t Journal::offset_of(Span where) {
  return lines(where.file)[static_cast<std::size_t>(where.line) - 1] +
         static_cast<std::size_t>(where.column) - 1;
}

std::string_view Journal::line_of(Span where) {
  const auto index = static_cast<std::size_t>(where.line) - 1;
  const std::vector<std::uint32_t>& starts = lines(where.file);
  if (where.line <= 0 || index >= starts.size()) {
    return {};
  }
  const std::string_view text = files_[where.file].text;
  const std::size_t end = index + 1 < starts.size() ? starts[index + 1] - 1 : text.size();
  std::string_view line = text.substr(starts[index], end - starts[index]);
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  return line;
}

std::vector<Diagnostic> Journal::take() {
  std::ranges::stable_sort(kept_, {}, [](const Entry& entry) {
    return std::tuple(entry.where.file, entry.where.line, entry.where.column);
  });
  std::vector<Diagnostic> diagnostics;
  for (Entry& entry : kept_) {
    diagnostics.push_back(std::move(entry.diagnostic));
  }
  if (errors_ > limit_) {
    diagnostics.push_back(
        {.severity = Severity::kError,
         .place = {.file = std::string(files_.front().name)},
         .message =
             fmt::format("{} errors in all; only the first {} found are shown", errors_, limit_)});
  }
  kept_.clear();
  return diagnostics;
}

}  // namespace holdfast::config
