// SPDX-License-Identifier: Apache-2.0
// The listings while control is away: the dataplane's read-only socket answers, from a script here.
#include "control/cli/dataplane_views.h"
#include "control/cli/program.h"
#include "dataplane/address.h"
#include "dataplane/api/codec.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/cli/scripted_dataplane.h"

#include <sstream>
#include <string>
#include <utility>

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using ::testing::HasSubstr;

std::string wire(const char* address) { return seam::to_wire(*dataplane::Address::parse(address)); }

DataplaneAnswers sample() {
  DataplaneAnswers answers;
  answers.hello.set_version(1);
  answers.hello.set_build("0.1.0");
  answers.hello.add_notices("no huge pages: slower");
  answers.counters.set_generation(7);
  answers.counters.set_mbufs_total(8192);
  seam::WorkerCounters* worker = answers.counters.add_workers();
  worker->set_flows_v4(12);
  worker->set_capacity_v4(1000);
  seam::MemberCounters* counters = answers.counters.add_members();
  counters->mutable_ref()->set_service("web");
  counters->mutable_ref()->set_backend("a");
  counters->mutable_ref()->set_address(wire("10.0.3.11"));
  counters->mutable_ref()->set_port(8080);
  counters->set_flows(12);
  counters->set_disposition(static_cast<std::uint32_t>(dataplane::Disposition::kNew));
  seam::NamedValue* new_flows = counters->add_values();
  new_flows->set_name("new_flows");
  new_flows->set_value(400);
  *answers.counters.add_members() = *counters;
  answers.counters.mutable_members(1)->mutable_ref()->set_address(wire("2001:db8::1"));
  answers.counters.mutable_members(1)->set_retired(true);
  seam::Service* service = answers.generation.mutable_generation()->add_services();
  service->set_name("web");
  service->set_mode(static_cast<std::uint32_t>(dataplane::Mode::kDsr));
  service->set_slots(4093);
  for (const char* vip : {"203.0.113.10", "2001:db8::10"}) {
    seam::Binding* binding = service->add_bindings();
    binding->set_vip(wire(vip));
    binding->set_protocol(static_cast<std::uint32_t>(dataplane::Protocol::kUdp));
    binding->set_first_port(5000);
    binding->set_last_port(5010);
  }
  seam::Member* member = service->add_members();
  member->set_backend("a");
  member->set_address(wire("10.0.3.11"));
  member->set_port(8080);
  member->set_weight(70);
  return answers;
}

ScriptedDataplane::Script answering(DataplaneAnswers answers) {
  return [answers = std::move(answers)](const seam::Request& request, seam::Reply& reply) {
    if (request.has_hello()) {
      *reply.mutable_hello() = answers.hello;
    } else if (request.has_get_counters()) {
      *reply.mutable_get_counters() = answers.counters;
    } else {
      *reply.mutable_get_generation() = answers.generation;
    }
  };
}

TEST(DataplaneViews, ShowWhatTheDataplaneKnowsAndNothingElse) {
  const auto backends = dataplane_backends(sample());
  EXPECT_EQ(boost::json::value(backends), boost::json::parse(R"({"backends": [
    {"service": "web", "name": "a", "address": "10.0.3.11", "port": 8080, "weight": 70, "tier": 0,
     "disposition": "new", "flows": 12, "new_flows": 400, "packets_to_member": 0,
     "bytes_to_member": 0, "packets_to_client": 0, "bytes_to_client": 0, "refusals": 0,
     "last_new_flow_unix_ns": 0, "retired": false},
    {"service": "web", "name": "a", "address": "2001:db8::1", "port": 8080, "weight": 0, "tier": 0,
     "disposition": "new", "flows": 12, "new_flows": 400, "packets_to_member": 0,
     "bytes_to_member": 0, "packets_to_client": 0, "bytes_to_client": 0, "refusals": 0,
     "last_new_flow_unix_ns": 0, "retired": true}]})"));
  const auto services = dataplane_services(sample());
  EXPECT_EQ(boost::json::value(services), boost::json::parse(R"({"services": [
    {"name": "web", "mode": "dsr", "vips": ["203.0.113.10", "2001:db8::10"],
     "ports": ["udp/5000-5010"], "slots": 4093, "backends": 1, "usable": 1, "flows": 24,
     "new_flows": 800}]})"));
  const auto status = dataplane_status(sample());
  EXPECT_EQ(status.at("generation"), 7);
  EXPECT_FALSE(status.contains("revision"));
}

class DataplaneListingTest : public ::testing::Test {
 protected:
  int run(const std::string& verb) {
    Context context{.out = out_, .error = error_, .program = "/usr/bin/holdfast"};
    return run_program({verb, "--socket", directory_.file("control.sock")}, context);
  }

  testing::TempDirectory directory_;
  std::ostringstream out_;
  std::ostringstream error_;
};

TEST_F(DataplaneListingTest, StandsInForControlAndSaysSo) {
  const ScriptedDataplane dataplane(directory_.file("dataplane.sock.ro"), answering(sample()));
  EXPECT_EQ(run("status"), 0);
  EXPECT_THAT(error_.str(), HasSubstr("this is what the dataplane says of itself"));
  EXPECT_EQ(out_.str(),
            "control NOT ANSWERING; dataplane 0.1.0\n"
            "generation 7; free packet buffers 0 of 8192\n"
            "\n"
            "WORKER  RECEIVED  FORWARDED  REPLIED  TO KERNEL  DROPPED       FLOWS  UNACCOUNTED\n"
            "0              -          -        -          -        0  12 of 1000            0\n"
            "\n"
            "notice: no huge pages: slower\n");
}

TEST_F(DataplaneListingTest, MarksWhatControlAloneKnows) {
  const ScriptedDataplane dataplane(directory_.file("dataplane.sock.ro"), answering(sample()));
  EXPECT_EQ(run("backends"), 0);
  EXPECT_EQ(
      out_.str(),
      "SERVICE  BACKEND  ADDRESS             WEIGHT  ADMIN    HEALTH  TAKES  FLOWS  NEW  CHECK  "
      "SINCE  CAUSE\n"
      "web      a        10.0.3.11:8080          70  -        -       new       12  400  -      "
      "-      -\n"
      "web      a        [2001:db8::1]:8080       0  retired  -       new       12  400  -      "
      "-      -\n");
}

}  // namespace
}  // namespace holdfast::control
