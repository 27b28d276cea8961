// SPDX-License-Identifier: Apache-2.0
// The blocking client against a scripted peer on a real Unix socket, hostile answers included.
#include "dataplane/api/client.h"

#include "dataplane/api/codec.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace holdfast::seam {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

// Listens in its own directory, serves one connection by `script`, then ends.
class Peer {
 public:
  explicit Peer(std::function<void(int)> script) {
    std::string pattern = std::filesystem::temp_directory_path() / "holdfast-api-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    path_ = directory_ + "/seam.sock";
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
        ::listen(listener_, 1) != 0) {
      std::abort();
    }
    thread_ = std::thread([this, script = std::move(script)] {
      const int connection = ::accept(listener_, nullptr, nullptr);
      if (connection >= 0) {
        script(connection);
        ::close(connection);
      }
    });
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    std::filesystem::remove_all(directory_);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string directory_;
  std::string path_;
  int listener_ = -1;
  std::thread thread_;
};

void write_all(int connection, const std::string& bytes) {
  ASSERT_EQ(::send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(bytes.size()));
}

// Reads one request; an empty one when the peer went away.
Request read_request(int connection, FrameDecoder& decoder) {
  Request request;
  std::array<char, 4096> piece;
  while (true) {
    const auto message = decoder.next();
    if (message && message->has_value()) {
      request.ParseFromString(**message);
      return request;
    }
    const ssize_t received = ::recv(connection, piece.data(), piece.size(), 0);
    if (received <= 0) {
      return request;
    }
    decoder.feed({piece.data(), static_cast<std::size_t>(received)});
  }
}

Reply hello_to(const Request& request) {
  Reply reply;
  reply.set_id(request.id());
  reply.mutable_hello()->set_version(1);
  reply.mutable_hello()->set_build("test");
  return reply;
}

TEST(Client, SaysHelloAndReturnsTheReplyWithItsId) {
  Peer peer([](int connection) {
    FrameDecoder decoder;
    const Request hello = read_request(connection, decoder);
    write_all(connection, *frame(hello_to(hello)));
    const Request request = read_request(connection, decoder);
    Reply event;
    event.mutable_event()->set_what("link");
    write_all(connection, *frame(event));
    Reply other;
    other.set_id(request.id() + 7);
    other.mutable_error()->set_text("not yours");
    write_all(connection, *frame(other));
    Reply reply;
    reply.set_id(request.id());
    reply.mutable_get_counters()->set_generation(3);
    write_all(connection, *frame(reply));
  });
  auto client = Client::connect(peer.path(), 0, 5s);
  ASSERT_TRUE(client.has_value()) << client.error();
  EXPECT_EQ(client->hello().build(), "test");
  Request request;
  request.mutable_get_counters();
  const auto reply = client->call(request, 5s);
  ASSERT_TRUE(reply.has_value()) << reply.error();
  EXPECT_EQ(reply->get_counters().generation(), 3U);
  ASSERT_EQ(client->events().size(), 1U);
  EXPECT_EQ(client->events().front().what(), "link");
}

TEST(Client, EndsByItsDeadlineWhenThePeerIsSilent) {
  Peer peer([](int connection) {
    FrameDecoder decoder;
    read_request(connection, decoder);
    read_request(connection, decoder);  // until the client gives up
  });
  const auto client = Client::connect(peer.path(), 1, 50ms);
  ASSERT_FALSE(client.has_value());
  EXPECT_THAT(client.error(), HasSubstr("timed out"));
}

TEST(Client, EndsByItsDeadlineWhenThePeerSendsEventsForEver) {
  Peer peer([](int connection) {
    Reply event;
    event.mutable_event()->set_what("noise");
    const std::string bytes = *frame(event);
    while (::send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0) {
    }
  });
  const auto client = Client::connect(peer.path(), 1, 50ms);
  ASSERT_FALSE(client.has_value());
  EXPECT_THAT(client.error(), HasSubstr("timed out"));
}

TEST(Client, ReportsGarbageACloseAndAnErrorReplyAsText) {
  Peer garbage([](int connection) {
    FrameDecoder decoder;
    read_request(connection, decoder);  // else it may be gone before the client has sent its hello
    write_all(connection, "\xff\xff\xff\xff junk");
  });
  EXPECT_THAT(Client::connect(garbage.path(), 0, 5s).error(), HasSubstr("limit"));
  Peer closing([](int connection) {
    FrameDecoder decoder;
    read_request(connection, decoder);
  });
  EXPECT_THAT(Client::connect(closing.path(), 0, 5s).error(), HasSubstr("closed"));
  Peer refusing([](int connection) {
    FrameDecoder decoder;
    Reply reply;
    reply.set_id(read_request(connection, decoder).id());
    reply.mutable_error()->set_text("a newer writer is connected");
    write_all(connection, *frame(reply));
  });
  EXPECT_THAT(Client::connect(refusing.path(), 1, 5s).error(), HasSubstr("newer writer"));
}

TEST(Client, NamesTheSocketThatNobodyServes) {
  const auto client = Client::connect("/nonexistent/seam.sock", 0, 1s);
  ASSERT_FALSE(client.has_value());
  EXPECT_THAT(client.error(), HasSubstr("/nonexistent/seam.sock"));
  EXPECT_FALSE(Client::connect(std::string(200, 'x'), 0, 1s).has_value());
}

}  // namespace
}  // namespace holdfast::seam
