# SPDX-License-Identifier: Apache-2.0
# `cpack -G DEB` in a build directory: a Debian package, its dependencies found by dpkg-shlibdeps.
set(CPACK_PACKAGE_NAME muster)
set(CPACK_PACKAGE_VENDOR "Muster")
set(CPACK_PACKAGE_CONTACT "Muster developers <muster@example.org>" CACHE STRING "Maintainer field of the package: name and address of who builds it")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "fine-tunes BERT-like text classifiers on one machine or a cluster")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"A coordinator checks and splits the data, trains a sweep of trials on worker
processes (MPI within a trial), chooses decision thresholds on the validation
part, scores the winner on the test part, and publishes a bundle: a model
directory that carries its own decision rule. Any process can be stopped or
killed at any time; the same command resumes from the last checkpoint.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_GENERATOR DEB)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "openmpi-bin") # mpirun, for trials of several ranks; the libraries are found
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "gnuplot-nox") # plots of the report
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "slurm-client")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/cmake/debian_files.cmake)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
include(CPack)
