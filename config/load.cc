// SPDX-License-Identifier: Apache-2.0
// The order of reading: trees of all files, then sections, then the rules between them.
#include "config/load.h"

#include "config/include.h"
#include "config/rules.h"
#include "config/sections.h"
#include "config/text.h"
#include "config/tree.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr int kVersion = 1;

Span whole(std::uint16_t file) { return {file, 0, 0, 1}; }

// One load: the files so far, their trees, and everything that was reported.
class Loader {
 public:
  explicit Loader(const LoadOptions& options)
      : options_(options), journal_(options.max_diagnostics) {}

  // Adds a file and reads its tree. Stops at a file that is too large for what is left.
  void add(SourceFile source);
  // Reports about a file whose text is not there.
  void add_unreadable(const std::string& name, const std::string& problem);
  // Follows the main file's `include`.
  void follow_includes();
  LoadResult finish();
  std::optional<Endpoints> endpoints();

 private:
  struct File {
    SourceFile source;
    std::optional<Node> tree;
    std::uint16_t number = 0;
  };
  [[nodiscard]] std::size_t bytes_left() const { return options_.max_bytes - bytes_; }
  void include(const Node& item);
  void include_file(const Node& item, const std::string& path);
  void read_sections();
  void read_main(const Node& root);
  void read_version(const Fields& fields);
  void check_include_list(const Fields& fields);
  void check_included_keys(const Node& root);

  LoadOptions options_;
  Journal journal_;
  std::deque<File> files_;  // texts stay where they are: the journal refers to them
  std::size_t bytes_ = 0;
  Draft draft_;
  Defaults defaults_;
  CheckTemplates templates_;
};

void Loader::add(SourceFile source) {
  files_.push_back({std::move(source), std::nullopt, 0});
  File& file = files_.back();
  std::string_view text = file.source.text;
  const bool has_mark = text.starts_with(kByteOrderMark);
  if (has_mark) {
    text.remove_prefix(kByteOrderMark.size());
  }
  const bool fits = text.size() <= bytes_left();
  file.number = journal_.add_file(file.source.name, fits ? text : std::string_view());
  if (!fits) {
    return journal_.error(
        whole(file.number),
        fmt::format("larger than {} bytes with the files before it", options_.max_bytes));
  }
  bytes_ += text.size();
  if (has_mark) {
    journal_.error({file.number, 1, 1, 1},
                   "the file starts with a byte order mark",
                   "save it as UTF-8 without one");
  }
  file.tree = read_tree(file.number, text, {.max_values = options_.max_values}, journal_);
}

void Loader::add_unreadable(const std::string& name, const std::string& problem) {
  files_.push_back({{name, ""}, std::nullopt, 0});
  files_.back().number = journal_.add_file(files_.back().source.name, "");
  journal_.error(whole(files_.back().number), problem);
}

void Loader::follow_includes() {
  const std::optional<Node>& tree = files_.front().tree;
  if (!tree) {
    return;
  }
  const Node& root = *tree;
  for (std::size_t i = 0; i < root.keys.size(); ++i) {
    if (root.keys[i].text == "include" && root.items[i].kind == Kind::kSequence) {
      for (const Node& item : root.items[i].items) {
        include(item);
      }
    }
  }
}

void Loader::include(const Node& item) {
  const Read<std::string> pattern = read_printable(item);
  if (!pattern) {
    return;  // reported with the main file's other values
  }
  const std::string folder = folder_of(files_.front().source.name);
  if (!is_pattern(*pattern)) {
    return include_file(item, join_path(folder, *pattern));
  }
  const Matches matches = match_files(folder, *pattern, options_.max_files);
  if (matches.folder_missing) {
    return journal_.warning(item.where,
                            fmt::format("the folder of {} does not exist", quote(*pattern)));
  }
  if (!matches.problem.empty()) {
    return journal_.error(item.where,
                          fmt::format("include {} {}", quote(*pattern), matches.problem));
  }
  for (const std::string& path : matches.paths) {
    include_file(item, path);
  }
}

void Loader::include_file(const Node& item, const std::string& path) {
  if (files_.size() >= options_.max_files) {
    return journal_.error(item.where, fmt::format("more than {} files", options_.max_files));
  }
  for (std::size_t i = 0; i < files_.size(); ++i) {
    if (files_[i].source.name == path || same_file(files_[i].source.name, path)) {
      return journal_.error(item.where,
                            i == 0 ? fmt::format("{} includes itself", path)
                                   : fmt::format("{} is included twice", path));
    }
  }
  std::expected<std::string, std::string> text = read_file(path, bytes_left());
  if (!text) {
    return journal_.error(item.where, fmt::format("{} {}", path, text.error()));
  }
  add({path, std::move(*text)});
}

LoadResult Loader::finish() {
  if (files_.front().tree) {
    read_sections();
  }
  if (journal_.errors() > 0) {
    return std::unexpected(journal_.take());
  }
  Config config = std::move(draft_.config);
  for (PoolDraft& pool : draft_.pools) {
    config.nat.pool.push_back(pool.range);
  }
  for (ServiceDraft& service : draft_.services) {
    for (BackendDraft& backend : service.backends) {
      service.service.backends.push_back(std::move(backend.backend));
    }
    config.services.push_back(std::move(service.service));
  }
  config.warnings = journal_.take();
  for (File& file : files_) {
    config.files.push_back(file.source.name);
    config.sources.push_back(std::move(file.source));
  }
  return config;
}

std::optional<Endpoints> Loader::endpoints() {
  const std::optional<Node>& tree = files_.front().tree;
  if (!tree) {
    return std::nullopt;
  }
  read_main(*tree);
  return Endpoints{std::move(draft_.config.dataplane), std::move(draft_.config.control)};
}

void Loader::read_sections() {
  std::vector<const Node*> services;
  for (const File& file : files_) {
    if (!file.tree) {
      continue;
    }
    const bool is_main = &file == &files_.front();
    if (is_main) {
      read_main(*file.tree);
    } else {
      check_included_keys(*file.tree);
    }
    for (std::size_t i = 0; i < file.tree->keys.size(); ++i) {
      const Node& value = file.tree->items[i];
      if (value.kind == Kind::kNull || value.kind == Kind::kRefused) {
        continue;
      }
      if (file.tree->keys[i].text == "checks") {
        read_templates(value, defaults_.check, templates_, journal_);
      } else if (file.tree->keys[i].text == "services") {
        services.push_back(&value);
      }
    }
  }
  for (const Node* node : services) {
    read_services(*node, defaults_, templates_, draft_.services, journal_);
  }
  check_rules(draft_, journal_);
  check_not_local(draft_, options_.local_addresses, journal_);
}

void Loader::read_main(const Node& root) {
  const Fields fields(root, "the configuration", kRootKeys, journal_);
  read_version(fields);
  if (const Node* node = fields.find("dataplane")) {
    read_dataplane(*node, draft_.config.dataplane, draft_.sockets, journal_);
  }
  if (const Node* node = fields.require("ports")) {
    read_ports(*node, draft_.config.ports, journal_);
  }
  draft_.pools_complete = !fields.may_be_lost("nat");
  if (const Node* node = fields.find("nat")) {
    draft_.pools_complete = read_nat(*node, draft_.pools, journal_);
  }
  if (const Node* node = fields.find("routes")) {
    read_routes(*node, draft_, journal_);
  }
  if (const Node* node = fields.find("pair")) {
    read_pair(*node, draft_.config.pair, journal_);
  }
  if (const Node* node = fields.find("defaults")) {
    defaults_ = read_defaults(*node, journal_);
  }
  if (const Node* node = fields.find("control")) {
    read_control(*node, draft_.config.control, draft_.sockets, journal_);
  }
  check_include_list(fields);
  if (!fields.has("include")) {
    fields.require("services");
  }
}

void Loader::read_version(const Fields& fields) {
  std::uint64_t version = 0;
  const Node* node = fields.set_required("version", version, integer(0, 1'000'000));
  if (node != nullptr && version != kVersion) {
    journal_.error(node->where,
                   fmt::format("version {} is not known", version),
                   fmt::format("this is for version {}", kVersion));
  }
}

void Loader::check_include_list(const Fields& fields) {
  fields.each("include", [&](const Node& item) {
    if (const Read<std::string> pattern = read_printable(item); !pattern) {
      fields.report(item, "include", pattern.error());
    }
  });
}

void Loader::check_included_keys(const Node& root) {
  const Fields known(root, "an included file", kRootKeys, journal_);
  for (std::size_t i = 0; i < root.keys.size(); ++i) {
    const std::string& key = root.keys[i].text;
    const bool allowed = std::ranges::find(kIncludedKeys, key) != kIncludedKeys.end();
    if (!allowed && std::ranges::find(kRootKeys, key) != kRootKeys.end()) {
      journal_.error(root.keys[i].where,
                     fmt::format("key '{}' belongs into the main file", key),
                     "an included file has 'services' and 'checks' only");
    }
  }
}

}  // namespace

LoadResult load_config(std::string_view path, const LoadOptions& options) {
  Loader loader(options);
  const std::string name(path);
  std::expected<std::string, std::string> text = read_file(name, options.max_bytes);
  if (!text) {
    loader.add_unreadable(name, text.error());
    return loader.finish();
  }
  loader.add({name, std::move(*text)});
  loader.follow_includes();
  return loader.finish();
}

std::optional<Endpoints> load_endpoints(std::string_view path) {
  std::expected<std::string, std::string> text =
      read_file(std::string(path), LoadOptions().max_bytes);
  if (!text) {
    return std::nullopt;
  }
  Loader loader{LoadOptions()};
  loader.add({std::string(path), std::move(*text)});
  return loader.endpoints();
}

LoadResult parse_config(std::string_view text,
                        std::string_view file_name,
                        const LoadOptions& options) {
  return parse_sources({{std::string(file_name), std::string(text)}}, options);
}

LoadResult parse_sources(std::vector<SourceFile> sources, const LoadOptions& options) {
  Loader loader(options);
  for (SourceFile& source : sources) {
    loader.add(std::move(source));
  }
  return loader.finish();
}

}  // namespace holdfast::config
