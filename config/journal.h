// SPDX-License-Identifier: Apache-2.0
// Collects what is wrong with a set of files while they are read, so that one run names everything.
// Marks are small and refer to a file by number; they become Places with their source line only
// when something is reported. Used by the loader's parts on the calling thread.
#pragma once

#include "config/diagnostic.h"
#include "config/suggest.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::config {

// A stretch of one line of a file. Line and column are 1-based; line 0: the file as a whole.
struct Span {
  std::uint16_t file = 0;
  std::int32_t line = 0;
  std::int32_t column = 0;
  std::int32_t length = 1;
};

class Journal {
 public:
  // Keeps at most `limit` errors and as many warnings; those beyond it are only counted.
  explicit Journal(std::size_t limit) : limit_(limit) {}

  // Returns the file's number. `text` must outlive the journal; it is below 4 GiB.
  std::uint16_t add_file(std::string_view name, std::string_view text);

  void error(Span where, std::string message, std::string help = {});
  void warning(Span where, std::string message, std::string help = {});

  [[nodiscard]] Place place(Span where) const;
  // Between a byte of a file and its mark. Require: offset <= text.size(); where.line > 0.
  [[nodiscard]] Span span_at(std::uint16_t file, std::size_t offset, std::size_t length);
  [[nodiscard]] std::size_t offset_of(Span where);
  // How many errors there were, kept or not: a part that reads compares before and after.
  [[nodiscard]] std::size_t errors() const { return errors_; }
  // No further error is kept.
  [[nodiscard]] bool full() const { return errors_ >= limit_; }
  // The candidate that was probably meant, "": none, or no further one is looked for.
  std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
    return full() ? "" : suggestions_.nearest(word, candidates);
  }
  // The diagnostics in the order of their places.
  std::vector<Diagnostic> take();

 private:
  struct File {
    std::string_view name;
    std::string_view text;
    std::vector<std::uint32_t> line_starts;  // empty until a line is asked for
  };
  struct Entry {
    Span where;
    Diagnostic diagnostic;
  };
  void add(Severity severity, Span where, std::string message, std::string help);
  [[nodiscard]] std::string_view line_of(Span where);
  const std::vector<std::uint32_t>& lines(std::uint16_t file);

  std::size_t limit_;
  std::size_t errors_ = 0;
  std::size_t warnings_ = 0;
  std::vector<File> files_;
  std::vector<Entry> kept_;
  Suggestions suggestions_;
};

}  // namespace holdfast::config
