# SPDX-License-Identifier: Apache-2.0
# Writes OUTPUT, a C file with git's description of SOURCE; leaves it alone, times and all, while that is the same. Sources from a
# tarball, also one unpacked inside somebody else's checkout, have no description.
set(text "")
if(GIT AND EXISTS ${SOURCE}/.git)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env GIT_OPTIONAL_LOCKS=0 ${GIT} -C ${SOURCE} describe --always --dirty
                  OUTPUT_VARIABLE description OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE status)
  if(status EQUAL 0 AND description MATCHES "^[A-Za-z0-9._/+-]+$")
    set(text " (git ${description})")
  endif()
endif()
set(source "/* SPDX-License-Identifier: Apache-2.0 */\n#include \"common/base/version.h\"\n\nconst char git_version[] = \"${text}\";\n")
set(found "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} found)
endif()
if(NOT found STREQUAL source)
  file(WRITE ${OUTPUT} "${source}")
endif()
