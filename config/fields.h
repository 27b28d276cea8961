// SPDX-License-Identifier: Apache-2.0
// One map of the configuration while it is read: checks its keys against the table, hands each
// value to the reader of its form, and reports what goes wrong at its place. A value that could not
// be read leaves its target as it was; the configuration is refused then.
#pragma once

#include "config/keys.h"
#include "config/scalar.h"
#include "config/suggest.h"
#include "config/tree.h"

#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace holdfast::config {

class Fields {
 public:
  // Reports unknown keys and keys without a value. `what` names the map in messages: "service
  // 'web'". A node that is no map is reported and then read like a map in which nothing can be
  // missing.
  Fields(const Node& map, std::string what, std::span<const Key> known, Journal& journal);

  // The value under `key`; nullptr: absent, or already reported.
  [[nodiscard]] const Node* find(Key key) const;
  // The same, and reports its absence.
  const Node* require(Key key) const;
  // The key itself, or the map when it is absent: where to complain about a value.
  [[nodiscard]] Span where(Key key) const;

  // Reads `key` into `target`. Returns its value's node when that worked.
  template <typename T, typename Reader>
  const Node* set(Key key, T& target, Reader read) const {
    return assign(find(key), key, target, read);
  }
  // The same; false only when the key is there and could not be read.
  template <typename T, typename Reader>
  bool set_if_there(Key key, T& target, Reader read) const {
    return set(key, target, read) != nullptr || !has(key);
  }
  // The same for a key that must be there.
  template <typename T, typename Reader>
  const Node* set_required(Key key, T& target, Reader read) const {
    return assign(require(key), key, target, read);
  }

  // Reads the elements of the list under `key`. Returns false when one failed or it is no list.
  template <typename Element>
  bool each(Key key, const Element& element) const {
    const Node* list = find(key);
    if (list == nullptr) {
      return !has(key) && map_.kind == Kind::kMap;
    }
    if (list->kind != Kind::kSequence) {
      report_no_list(*list, key);
      return false;
    }
    const std::size_t before = journal_.errors();
    for (const Node& item : list->items) {
      if (is_nothing(item)) {
        report(item, key, {"has an empty element", ""});
      } else if (item.kind != Kind::kRefused) {
        element(item);
      }
    }
    return before == journal_.errors() && !list->incomplete;
  }

  // Complains that these keys, when they are there, do not belong: "to a 'pcap' port".
  void refuse(std::span<const Key> keys, const std::string& why) const;

  void report(const Node& value, std::string_view noun, Complaint complaint) const;
  [[nodiscard]] bool has(Key key) const;
  // Whether the key is not there because the file has an error: what needs it may stay silent.
  [[nodiscard]] bool may_be_lost(Key key) const;
  [[nodiscard]] bool complete() const;
  [[nodiscard]] Journal& journal() const { return journal_; }
  [[nodiscard]] const Node& map() const { return map_; }

 private:
  template <typename T, typename Reader>
  const Node* assign(const Node* value, Key key, T& target, Reader read) const {
    if (value == nullptr) {
      return nullptr;
    }
    auto result = read(*value);
    if (!result) {
      report(*value, key, std::move(result.error()));
      return nullptr;
    }
    if constexpr (std::integral<T>) {
      target = static_cast<T>(*result);
    } else {
      target = std::move(*result);
    }
    return value;
  }
  [[nodiscard]] std::optional<std::size_t> index(Key key) const;
  void report_no_list(const Node& value, Key key) const;
  void report_unknown(const Node& key, std::span<const Key> known);

  const Node& map_;
  std::string what_;
  Journal& journal_;
  std::vector<Key> suspected_;  // keys that an unknown one was probably meant to be
};

// Readers to hand to Fields::set.

// The range must fit the target's type.
inline auto integer(std::uint64_t least, std::uint64_t most) {
  return [=](const Node& node) { return read_integer(node, {least, most}); };
}
inline auto duration(std::chrono::milliseconds least, std::chrono::milliseconds most) {
  return [=](const Node& node) { return read_duration(node, {least, most}); };
}
inline auto size(std::uint64_t least, std::uint64_t most) {
  return [=](const Node& node) { return read_size(node, {least, most}); };
}
inline auto path(std::size_t longest) {
  return [=](const Node& node) { return read_path(node, longest); };
}

// "auto" as nullopt, anything else by `read`.
template <typename T, typename Reader>
auto automatic_or(Reader read) {
  return [=](const Node& node) -> Read<std::optional<T>> {
    if (node.kind == Kind::kScalar && node.text == "auto") {
      return std::optional<T>();
    }
    auto value = read(node);
    if (!value) {
      Complaint complaint = std::move(value.error());
      if (complaint.help.empty() && leading_digits(node.text).empty()) {
        complaint.help = "or write auto";
      }
      return std::unexpected(std::move(complaint));
    }
    return std::optional<T>(static_cast<T>(*value));
  };
}

template <typename T>
struct Word {
  std::string_view text;
  T value;
};

// A complaint about a word that is none of `known`; `later` ones will be, in another version.
Complaint unknown_word(const Node& node,
                       std::span<const std::string_view> known,
                       std::span<const std::string_view> later);

// One of a few words. Requires: words and later outlive the reader.
template <typename T, std::size_t N>
auto word(const std::array<Word<T>, N>& words, std::span<const std::string_view> later = {}) {
  return [=, &words](const Node& node) -> Read<T> {
    std::array<std::string_view, N> texts{};
    for (std::size_t i = 0; i < N; ++i) {
      if (node.kind == Kind::kScalar && node.text == words[i].text) {
        return words[i].value;
      }
      texts[i] = words[i].text;
    }
    return std::unexpected(unknown_word(node, texts, later));
  };
}

}  // namespace holdfast::config
