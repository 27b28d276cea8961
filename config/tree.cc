// SPDX-License-Identifier: Apache-2.0
// Feeds yaml-cpp under bounds and goes on after its first error: a file is parsed in chunks, each
// from a top-level key to the end or to a syntax error.
#include "config/tree.h"

#include "config/events.h"
#include "config/text.h"
#include "config/unfinished.h"

#include <algorithm>
#include <array>
#include <istream>
#include <iterator>
#include <streambuf>
#include <utility>

#include <fmt/format.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

namespace holdfast::config {
namespace {

constexpr int kMostChunks = 20;

// Hands text to the parser while it makes progress. yaml-cpp keeps everything since an open bracket
// in memory, so a feed without an event in between ends at a limit, as if the file did.
class BoundedFeed : public std::streambuf {
 public:
  BoundedFeed(std::string_view text, const TreeBuilder& builder, std::size_t max_unfinished)
      : text_(text), builder_(builder), max_unfinished_(max_unfinished) {}
  [[nodiscard]] bool cut() const { return cut_; }

 protected:
  int_type underflow() override {
    if (builder_.values() != seen_values_) {
      seen_values_ = builder_.values();
      unfinished_ = 0;
    }
    cut_ = cut_ || unfinished_ > max_unfinished_;
    const std::string_view piece = text_.substr(at_, cut_ ? 0 : buffer_.size());
    if (piece.empty()) {
      return traits_type::eof();
    }
    at_ += piece.size();
    unfinished_ += significant_bytes(piece);
    std::ranges::copy(piece, buffer_.begin());
    setg(buffer_.data(), buffer_.data(), buffer_.data() + piece.size());
    return traits_type::to_int_type(piece.front());
  }

 private:
  // Bytes but those of comment lines and spaces, which take no memory in the parser.
  std::size_t significant_bytes(std::string_view piece) {
    std::size_t significant = 0;
    for (const char c : piece) {
      if (c == '\n') {
        line_ = Line::kBlank;
      } else if (c != ' ' && line_ == Line::kBlank) {
        line_ = c == '#' ? Line::kComment : Line::kText;
      }
      significant += c != ' ' && line_ == Line::kText ? 1 : 0;
    }
    return significant;
  }

  enum class Line : std::uint8_t { kBlank, kComment, kText };
  std::string_view text_;
  const TreeBuilder& builder_;
  std::size_t max_unfinished_;
  std::array<char, 2048> buffer_{};
  std::size_t at_ = 0;
  std::size_t unfinished_ = 0;
  std::size_t seen_values_ = 0;
  bool cut_ = false;
  Line line_ = Line::kBlank;
};

struct Translation {
  std::string_view parser;
  std::string_view message;
  std::string_view help;
};

// What yaml-cpp says, in words for somebody who writes a configuration.
constexpr std::array kTranslations = {
    Translation{"illegal map value",
                "a ':' is not expected here",
                "check the indentation, or put a text with ': ' in quotes"},
    Translation{"end of map not found",
                "this does not fit into the map above",
                "check quotes, commas and the indentation"},
    Translation{"end of sequence not found",
                "this does not fit into the list above",
                "check quotes, commas and the indentation"},
    Translation{"illegal block entry", "a '-' is not expected here", "check the indentation"},
    Translation{"illegal flow end", "this bracket closes nothing", ""},
    Translation{"illegal EOF in scalar", "a quoted text never ends", ""},
    Translation{"unknown token", "a text cannot start with this character", "put it in quotes"},
    Translation{"the referenced anchor is not defined",
                "aliases ('*...') are not supported",
                "write the value out, or put a text that starts with '*' in quotes"},
    Translation{"alias not found after *",
                "aliases ('*...') are not supported",
                "write the value out, or put a text that starts with '*' in quotes"},
    Translation{"anchor not found after &",
                "anchors ('&...') are not supported",
                "write the value out, or put a text that starts with '&' in quotes"},
};

struct Problem {
  Span where;
  std::string message;
  std::string help;
  bool fatal = false;
  bool unfinished = false;
};

Problem translate(const YAML::Exception& exception, const TreeBuilder& builder) {
  if (const Span* flow = builder.innermost_flow();
      flow != nullptr && exception.msg.starts_with("end of ")) {
    return {*flow, "this bracket is never closed, or a comma is missing in it", ""};
  }
  const Span where = exception.mark.is_null() ? builder.last() : builder.span(exception.mark);
  const auto* known = std::ranges::find(kTranslations, exception.msg, &Translation::parser);
  if (known != kTranslations.end()) {
    return {where, std::string(known->message), std::string(known->help)};
  }
  return {where, "not valid YAML: " + exception.msg, ""};
}

// Parses one chunk into `builder`; returns what ended it early.
std::optional<Problem> parse_chunk(std::string_view chunk,
                                   const TreeLimits& limits,
                                   TreeBuilder& builder) {
  BoundedFeed feed(chunk, builder, limits.max_unfinished_bytes);
  std::optional<Problem> problem;
  try {
    std::istream stream(&feed);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const LimitReached& limit) {
    return Problem{limit.where(), limit.what(), limit.help(), true};
  } catch (const SyntaxError& error) {
    problem = Problem{error.where(), error.what(), error.help()};
  } catch (const YAML::Exception& exception) {
    problem = translate(exception, builder);
  }
  if (feed.cut()) {
    const Span* flow = builder.outermost_flow();
    return Problem{
        flow != nullptr ? *flow : builder.last(),
        fmt::format("more than {} bytes without an end from here on", limits.max_unfinished_bytes),
        "is a quote or a bracket not closed?",
        true,
        true};
  }
  return problem;
}

bool starts_top_level_key(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

std::size_t next_line(std::string_view text, std::size_t from) {
  return std::min(text.find('\n', from), text.size() - 1) + 1;
}

// Offset of the first line from `from` on that may start a top-level key; text.size(): none.
std::size_t next_top_level_key(std::string_view text, std::size_t from) {
  while (from < text.size() && !starts_top_level_key(text[from])) {
    from = next_line(text, from);
  }
  return from;
}

// Where to go on after a problem. Brackets do not span top-level keys.
std::size_t resume_offset(std::string_view text,
                          const Problem& problem,
                          const TreeBuilder& builder,
                          Journal& journal) {
  if (problem.fatal || builder.root_is_flow() || problem.where.line == 0) {
    return text.size();
  }
  const Span* flow = builder.outermost_flow();
  Span line = flow != nullptr ? *flow : problem.where;
  const bool at_line_start = flow == nullptr && line.column == 1;
  line.column = 1;
  const std::size_t begin = std::min(journal.offset_of(line), text.size());
  if (at_line_start) {
    return begin;
  }
  return next_line(text, begin);
}

// What ended just before a problem may be incomplete because of it: a wrong indentation ends a map.
void mark_end_incomplete(Node& node) {
  Node* last = &node;
  last->incomplete = true;
  while (!last->items.empty()) {
    last = &last->items.back();
    last->incomplete = true;
  }
}

class TreeReader {
 public:
  TreeReader(std::uint16_t file, const CleanText& clean, const TreeLimits& limits, Journal& journal)
      : file_(file), clean_(clean), limits_(limits), journal_(journal) {}

  std::optional<Node> read() {
    const std::string_view text = clean_.text;
    std::size_t begin = 0;
    for (int chunk = 0; chunk < kMostChunks && begin < text.size(); ++chunk) {
      const std::size_t resume = read_chunk(text, begin);
      begin = next_top_level_key(text, resume > begin ? resume : next_line(text, begin));
    }
    if (root_) {
      drop_repeated_keys(*root_, journal_);
    } else if (!reported_) {
      journal_.error({file_, 0, 0, 1}, "the file is empty");
    }
    return std::move(root_);
  }

 private:
  // Returns where to go on; text.size(): the end.
  std::size_t read_chunk(std::string_view text, std::size_t begin) {
    const int first_line = begin == 0 ? 0 : journal_.span_at(file_, begin, 1).line - 1;
    const std::string_view chunk = text.substr(begin);
    TreeBuilder builder(file_, chunk, first_line, limits_.max_values, journal_);
    std::optional<Problem> problem = parse_chunk(chunk, limits_, builder);
    std::size_t resume = text.size();
    if (problem) {
      if (problem->unfinished) {
        find_unfinished(text, *problem);
      }
      resume = resume_offset(text, *problem, builder, journal_);
      report(*problem);
    }
    if (builder.has_document()) {
      Node root = builder.finish();
      if (problem) {
        mark_end_incomplete(root);
      }
      join(std::move(root), problem.has_value());
    }
    return resume;
  }

  // A quoted text that is too long is the reason, whatever was understood last.
  void find_unfinished(std::string_view text, Problem& problem) {
    const std::size_t from = problem.where.line == 0 ? 0 : journal_.offset_of(problem.where);
    if (const auto quote = find_long_quote(text, from, limits_.max_unfinished_bytes)) {
      problem.where = journal_.span_at(file_, *quote, 1);
    }
  }

  void report(const Problem& problem) {
    reported_ = true;
    // What follows a tab in the indentation is not the file's second mistake.
    if (!clean_.tabs_in_indentation || problem.fatal) {
      journal_.error(problem.where, problem.message, problem.help);
    }
  }

  void join(Node root, bool has_problem) {
    if (root.kind != Kind::kMap) {
      if (!has_problem && root.kind != Kind::kRefused) {
        journal_.error(
            root.where,
            fmt::format("a configuration is a map (key: value), not {}", kind_name(root)));
      }
      reported_ = true;
      return;
    }
    if (!root_) {
      root_ = std::move(root);
    } else {
      std::ranges::move(root.keys, std::back_inserter(root_->keys));
      std::ranges::move(root.items, std::back_inserter(root_->items));
    }
    root_->incomplete = root_->incomplete || has_problem;
  }

  std::uint16_t file_;
  const CleanText& clean_;
  const TreeLimits& limits_;
  Journal& journal_;
  std::optional<Node> root_;
  bool reported_ = false;
};

}  // namespace

std::optional<Node> read_tree(std::uint16_t file,
                              std::string_view text,
                              const TreeLimits& limits,
                              Journal& journal) {
  const std::optional<CleanText> clean = clean_text(file, text, journal);
  if (!clean) {
    return std::nullopt;
  }
  return TreeReader(file, *clean, limits, journal).read();
}

std::string_view kind_name(const Node& node) {
  switch (node.kind) {
    case Kind::kMap:
      return "a map";
    case Kind::kSequence:
      return "a list";
    case Kind::kScalar:
      return "a text";
    case Kind::kNull:
    case Kind::kRefused:
      break;
  }
  return "nothing";
}

}  // namespace holdfast::config
