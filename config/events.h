// SPDX-License-Identifier: Apache-2.0
// Builds the tree from yaml-cpp's events. Events carry the place of everything, also of aliases and
// of repeated keys, which yaml-cpp's own nodes have lost. Used by tree.cc only.
#pragma once

#include "config/tree.h"

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/mark.h>

namespace holdfast::config {

// Ends the parsing of a chunk from inside an event.
class SyntaxError : public std::runtime_error {
 public:
  SyntaxError(Span where, const std::string& message, std::string help = {})
      : std::runtime_error(message), where_(where), help_(std::move(help)) {}
  [[nodiscard]] Span where() const { return where_; }
  [[nodiscard]] const std::string& help() const { return help_; }

 private:
  Span where_;
  std::string help_;
};

// A limit was reached: the rest of the file is not looked at.
class LimitReached : public SyntaxError {
  using SyntaxError::SyntaxError;
};

class TreeBuilder : public YAML::EventHandler {
 public:
  // Events are about `chunk`, which starts at line `first_line` (0-based) of the file.
  TreeBuilder(std::uint16_t file,
              std::string_view chunk,
              int first_line,
              std::size_t max_values,
              Journal& journal);

  void OnDocumentStart(const YAML::Mark& mark) override;
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnScalar(const YAML::Mark& mark,
                const std::string& tag,
                YAML::anchor_t anchor,
                const std::string& value) override;
  void OnSequenceStart(const YAML::Mark& mark,
                       const std::string& tag,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override;
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark,
                  const std::string& tag,
                  YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override;
  void OnMapEnd() override { close(); }
  void OnAnchor(const YAML::Mark& mark, const std::string& name) override;

  // What was built so far, with everything still open marked incomplete.
  Node finish();

  [[nodiscard]] bool has_document() const { return documents_ > 0; }
  [[nodiscard]] std::size_t values() const { return values_; }
  // Where the innermost '[' or '{' that is still open stands; nullptr: none is.
  [[nodiscard]] const Span* innermost_flow() const;
  [[nodiscard]] const Span* outermost_flow() const;
  // The last thing that was understood.
  [[nodiscard]] Span last() const { return last_; }
  [[nodiscard]] bool root_is_flow() const { return root_is_flow_; }
  [[nodiscard]] Span span(const YAML::Mark& mark) const;

 private:
  struct Open {
    Node node;
    Node key = {};
    bool has_key = false;
    bool flow = false;
  };
  void open(Kind kind, const YAML::Mark& mark, bool flow);
  void close();
  void attach(Node node);
  void attach_key(Open& parent, Node key);
  void count(Span where);
  void refuse_tag(Span where, const std::string& tag);
  [[nodiscard]] std::string_view rest_of_line(const YAML::Mark& mark);
  [[nodiscard]] Node scalar(const YAML::Mark& mark, const std::string& value);

  std::uint16_t file_;
  std::string_view chunk_;
  int first_line_;
  std::size_t max_values_;
  Journal& journal_;
  std::size_t values_ = 0;
  std::size_t documents_ = 0;
  bool root_is_flow_ = false;
  bool finishing_ = false;
  Span last_;
  // No line ends in [line_from_, line_end_): a long line is searched once, not for each value on
  // it.
  std::size_t line_from_ = std::string_view::npos;
  std::size_t line_end_ = 0;
  std::vector<Open> open_;
  Node root_;
};

// Reports keys that stand in the map before, and removes them.
void drop_repeated_keys(Node& map, Journal& journal);

}  // namespace holdfast::config
