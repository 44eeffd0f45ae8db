# SPDX-License-Identifier: Apache-2.0
# Run by cpack in the staged tree: what Debian's policy asks of a package and other installations need not have.
set(usr ${CPACK_TEMPORARY_INSTALL_DIRECTORY}${CPACK_PACKAGING_INSTALL_PREFIX})
if(NOT IS_DIRECTORY ${usr}/share/doc/muster)
  message(FATAL_ERROR "no staged installation in ${usr}")
endif()
set(doc ${usr}/share/doc/muster)
file(REMOVE ${doc}/LICENSE) # /usr/share/common-licenses has it
file(WRITE ${doc}/copyright
"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: muster

Files: *
Copyright: 2026 the Muster authors
License: Apache-2.0
 On Debian systems, the text of the Apache License, version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
")
file(RENAME ${doc}/CHANGELOG.md ${doc}/changelog)
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(WRITE ${doc}/changelog.Debian
"muster (${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}) unstable; urgency=medium

  * Built by cpack from the sources; changelog.gz has the changes.

 -- ${CPACK_PACKAGE_CONTACT}  ${date}
")
file(GLOB texts ${doc}/changelog ${doc}/changelog.Debian ${usr}/share/man/man1/*.1 ${usr}/share/man/man5/*.5)
execute_process(COMMAND gzip -9nf ${texts} COMMAND_ERROR_IS_FATAL ANY)
