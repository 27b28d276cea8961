# SPDX-License-Identifier: Apache-2.0
# Processor levels: what a build may use beyond the least that every machine has. A tree is built at
# one level, HOLDFAST_LEVEL. The others are there as targets that only who asks for them builds:
#   holdfast-dataplane-levels   the dataplane at the other levels that a package has
#   level_tests                 the packet tests over the pure stages at every other level
# An executable is of one level and starts nowhere else, so code that was compiled with more than
# a machine has never gets into one for that machine, which is what happens where inline functions
# of differently compiled files meet in one program.

# AES, VAES and GFNI stand apart because the psABI's levels leave them out. Level 4 asks for them:
# processors with AVX-512 and without them (Skylake, Cascade Lake) clock down under it, and have
# level 3. dataplane/process/level.cc has the same names.
set(HOLDFAST_MARCH_x86-64-v2 -march=x86-64-v2)
set(HOLDFAST_MARCH_x86-64-v2-aes -march=x86-64-v2 -maes)
set(HOLDFAST_MARCH_x86-64-v3 -march=x86-64-v3 -maes)
set(HOLDFAST_MARCH_x86-64-v4 -march=x86-64-v4 -maes -mvaes -mgfni)
set(HOLDFAST_MARCH_portable)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(levels x86-64-v2 x86-64-v2-aes x86-64-v3 x86-64-v4)
  set(HOLDFAST_LEVEL x86-64-v2-aes CACHE STRING "Processor level, native for this machine's best")
  set_property(CACHE HOLDFAST_LEVEL PROPERTY STRINGS native ${levels})
else()
  set(levels portable)
  set(HOLDFAST_LEVEL portable)
endif()

if(HOLDFAST_LEVEL STREQUAL "native")
  unset(level_ended CACHE)  # each configuring asks the machine it is on
  try_run(level_ended level_compiled
    SOURCES ${PROJECT_SOURCE_DIR}/tools/processor_levels.cc
      ${PROJECT_SOURCE_DIR}/dataplane/process/level.cc
    CMAKE_FLAGS -DINCLUDE_DIRECTORIES=${PROJECT_SOURCE_DIR}
    RUN_OUTPUT_VARIABLE found
    CXX_STANDARD 23)
  string(REGEX MATCH "[^\n]+\n$" HOLDFAST_LEVEL "${found}")
  string(STRIP "${HOLDFAST_LEVEL}" HOLDFAST_LEVEL)
endif()
if(NOT HOLDFAST_LEVEL IN_LIST levels)
  message(FATAL_ERROR "HOLDFAST_LEVEL is '${HOLDFAST_LEVEL}', not one of native;${levels}")
endif()
message(STATUS "Processor level: ${HOLDFAST_LEVEL}")

set(HOLDFAST_OTHER_LEVELS ${levels})
list(REMOVE_ITEM HOLDFAST_OTHER_LEVELS ${HOLDFAST_LEVEL})
# Without level 3: as long as the stages have nothing for AVX2, what the compiler makes of it costs
# 0 to 4 % more per packet than x86-64-v2-aes does (Zen 4, GCC 12).
set(HOLDFAST_PACKAGE_LEVELS ${HOLDFAST_OTHER_LEVELS})
list(REMOVE_ITEM HOLDFAST_PACKAGE_LEVELS x86-64-v3)

# Targets take theirs from the variable when they are made; holdfast_options makes a flag of it.
define_property(TARGET PROPERTY HOLDFAST_MARCH INITIALIZE_FROM_VARIABLE HOLDFAST_MARCH)
set(HOLDFAST_MARCH ${HOLDFAST_MARCH_${HOLDFAST_LEVEL}})

# holdfast_level_objects(NAME LEVEL SOURCE...)  An object library of that level. Its objects have to
# stand first in a link, so that the linker takes inline functions from them and not from others.
function(holdfast_level_objects name level)
  set(HOLDFAST_MARCH ${HOLDFAST_MARCH_${level}})
  add_library(${name} OBJECT EXCLUDE_FROM_ALL ${ARGN})
  # For clang-tidy a file has one command.
  set_target_properties(${name} PROPERTIES EXPORT_COMPILE_COMMANDS OFF)
  target_link_libraries(${name} PRIVATE holdfast_options)
endfunction()
