# SPDX-License-Identifier: Apache-2.0
# The version stands once, in project(): common/base/version.h is made from it at configuration. What git says of the sources is
# asked at each build (git_version.cmake) and goes into the programs alone, so that a commit relinks two files and no test.
configure_file(${CMAKE_SOURCE_DIR}/cmake/version.h.in ${CMAKE_BINARY_DIR}/generated/common/base/version.h @ONLY)
include_directories(${CMAKE_BINARY_DIR}/generated)

set(MUSTER_GIT_VERSION ${CMAKE_BINARY_DIR}/generated/git_version.c)
find_package(Git QUIET)
add_custom_target(git_version
  COMMAND ${CMAKE_COMMAND} -DGIT=${GIT_EXECUTABLE} -DSOURCE=${CMAKE_SOURCE_DIR} -DOUTPUT=${MUSTER_GIT_VERSION}
          -P ${CMAKE_SOURCE_DIR}/cmake/git_version.cmake
  BYPRODUCTS ${MUSTER_GIT_VERSION}
  COMMENT "" VERBATIM)

# muster_git_version(program): what defines `git_version` (version.h) for a program's main.c.
function(muster_git_version target)
  target_sources(${target} PRIVATE ${MUSTER_GIT_VERSION})
  add_dependencies(${target} git_version)
endfunction()
