// SPDX-License-Identifier: Apache-2.0
#include "control/cli/table.h"

#include <algorithm>

namespace holdfast::control {
namespace {

// Characters, not bytes: UTF-8 continuation bytes take no place of their own.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string line(const std::vector<Column>& columns,
                 const std::vector<std::size_t>& widths,
                 const std::vector<std::string>& cells) {
  std::string text;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(widths[i] - width_of(cells[i]), ' ');
    text += i == 0 ? "" : "  ";
    text += columns[i].align == Align::kRight ? padding + cells[i] : cells[i] + padding;
  }
  text.erase(text.find_last_not_of(' ') + 1);
  return text + '\n';
}

}  // namespace

std::vector<std::size_t> Table::widths() const {
  std::vector<std::size_t> result;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = width_of(columns_[i].title);
    for (const auto& row : rows_) {
      width = std::max(width, width_of(row[i]));
    }
    result.push_back(width);
  }
  return result;
}

std::string Table::text() const {
  std::vector<std::string> titles;
  for (const Column& column : columns_) {
    titles.push_back(column.title);
  }
  const auto fitting = widths();
  std::string text = line(columns_, fitting, titles);
  for (const auto& row : rows_) {
    text += line(columns_, fitting, row);
  }
  return text;
}

}  // namespace holdfast::control
