// SPDX-License-Identifier: Apache-2.0
// The one place where Asio's and Beast's own code is compiled; everything else declares it only
// (BOOST_ASIO_SEPARATE_COMPILATION, BOOST_BEAST_SEPARATE_COMPILATION).
#include <boost/asio/impl/src.hpp>
#include <boost/beast/src.hpp>
