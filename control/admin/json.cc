// SPDX-License-Identifier: Apache-2.0
// The one place where Boost.JSON's own code is compiled; Debian packages its headers only, here.
#include <boost/json/src.hpp>
