// SPDX-License-Identifier: Apache-2.0
// Reads a configuration: YAML in, a typed Config or every error with its place out. Called at
// start, on a reload, by `holdfast check`, trace and replay, and by the fuzzer; blocking, any
// thread, no global state. A file is hostile until it has been read: time and memory are bounded by
// the options, nothing is guessed, and no value is defaulted because it could not be understood.
#pragma once

#include "config/diagnostic.h"
#include "config/local_address.h"
#include "config/model.h"

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::config {

// Bounds on what is read. Beyond one of them is an error, never a shortened configuration.
struct LoadOptions {
  std::size_t max_bytes = std::size_t{16} << 20U;  // of all files together
  std::size_t max_files = 1000;                    // the main file and its includes
  std::size_t max_values = 500'000;                // keys, values, lists and maps of a file
  std::size_t max_diagnostics = 500;               // further ones are counted, not kept
  std::vector<LocalAddress> local_addresses = {};  // are neither VIPs nor in the nat pool
};

// Errors in the order of their places, warnings among them. Never empty on failure; on success the
// warnings are in Config::warnings.
using LoadResult = std::expected<Config, std::vector<Diagnostic>>;

// Reads `path` and the files that it includes. Includes are relative to the folder of `path`; '*',
// '?' and '[...]' match in a pattern's last part, in byte order of the names.
LoadResult load_config(std::string_view path, const LoadOptions& options = {});

// The same without a file system: `include` is checked but not followed.
LoadResult parse_config(std::string_view text,
                        std::string_view file_name,
                        const LoadOptions& options = {});

// The same for the files of an earlier Config::sources: the main file first, then its includes.
// Requires: !sources.empty().
LoadResult parse_sources(std::vector<SourceFile> sources, const LoadOptions& options = {});

// Where the processes listen and keep their files, as far as it can be read of a file that may have
// errors: a value with an error is the default. For who must find a running system nevertheless.
// Returns nothing when the file is no YAML or cannot be read. Reads no includes.
struct Endpoints {
  Dataplane dataplane;
  Control control;
};
std::optional<Endpoints> load_endpoints(std::string_view path);

// What a reload from `running` to `wanted` would have to change but cannot, one sentence for each
// start-up key (dataplane.*, ports, routes, pair), with the place in `wanted` where there is one.
// Empty: reload.
std::vector<std::string> startup_differences(const Config& running, const Config& wanted);

// The same for control's own keys (control.*): they need a restart of control only.
std::vector<std::string> control_differences(const Control& running, const Control& wanted);

}  // namespace holdfast::config
