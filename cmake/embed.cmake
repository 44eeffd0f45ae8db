# SPDX-License-Identifier: Apache-2.0
# Files as arrays of bytes in a C header, with CMake alone.
#
# usage: cmake -D OUT=embedded.h -D FILES="a/index.html;a/page.js" -P embed.cmake    page.js becomes `embedded_page_js`
set(text "/* Made by cmake/embed.cmake. */\n")
foreach(file IN LISTS FILES)
  get_filename_component(name "${file}" NAME)
  string(MAKE_C_IDENTIFIER "${name}" name)
  file(READ "${file}" bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(REGEX REPLACE "0x0a," "0x0a,\n" bytes "${bytes}") # a line of the file, a line of the header
  string(APPEND text "static const unsigned char embedded_${name}[] = {\n${bytes}};\n")
endforeach()
file(WRITE "${OUT}.new" "${text}")
file(COPY_FILE "${OUT}.new" "${OUT}" ONLY_IF_DIFFERENT)
file(REMOVE "${OUT}.new")
