-- SPDX-License-Identifier: Apache-2.0
-- New connections for wrk: each request closes its connection; the answer's body names the backend.
-- The pace (milliseconds between two requests of one connection) is the script's first argument.
-- At the end one line of JSON: requests, errors by kind, answers by backend, latencies in seconds.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  pace = tonumber(args[1]) or 0
  answers = {}
end

function delay()
  -- Around the pace, so that connections do not march in step.
  return math.random(0, 2 * pace)
end

function response(status, headers, body)
  local backend = string.match(body, "^(%w+)") or "?"
  answers[backend] = (answers[backend] or 0) + 1
end

function done(summary, latency, requests)
  local total = {}
  for _, thread in ipairs(threads) do
    for backend, count in pairs(thread:get("answers")) do
      total[backend] = (total[backend] or 0) + count
    end
  end
  local parts = {}
  for backend, count in pairs(total) do
    table.insert(parts, string.format('"%s": %d', backend, count))
  end
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.3f, "answers": {%s}, "errors": {"connect": %d, "read": %d, ' ..
    '"write": %d, "status": %d, "timeout": %d}, "p50": %.6f, "p99": %.6f, "max": %.6f}\n',
    summary.requests, summary.duration / 1e6, table.concat(parts, ", "), errors.connect,
    errors.read, errors.write, errors.status, errors.timeout, latency:percentile(50) / 1e6,
    latency:percentile(99) / 1e6, latency.max / 1e6))
end
