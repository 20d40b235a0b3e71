# %%cmake and friends: out-of-source builds in %%_vpath_builddir, as Fedora has them since 33.
%_vpath_srcdir .
%_vpath_builddir %{_vendor}-%{_target_os}-build
%__cmake_builddir %{!?__cmake_in_source_build:%{_vpath_builddir}}%{?__cmake_in_source_build:.}
%__cmake /usr/bin/cmake
%__ctest /usr/bin/ctest
%_cmake_lib_suffix64 -DLIB_SUFFIX=64
%_cmake_shared_libs -DBUILD_SHARED_LIBS:BOOL=ON
%_cmake_skip_rpath -DCMAKE_SKIP_INSTALL_RPATH:BOOL=YES
%_cmake_module_linker_flags %{nil}
%cmake \
  %{set_build_flags} ; \
  %__cmake \\\
        -S "%{_vpath_srcdir}" \\\
        -B "%{__cmake_builddir}" \\\
        -DCMAKE_C_FLAGS_RELEASE:STRING="-DNDEBUG" \\\
        -DCMAKE_CXX_FLAGS_RELEASE:STRING="-DNDEBUG" \\\
        -DCMAKE_Fortran_FLAGS_RELEASE:STRING="-DNDEBUG" \\\
        -DCMAKE_VERBOSE_MAKEFILE:BOOL=ON \\\
        -DCMAKE_INSTALL_DO_STRIP:BOOL=OFF \\\
        -DCMAKE_INSTALL_PREFIX:PATH=%{_prefix} \\\
        -DCMAKE_INSTALL_FULL_SBINDIR:PATH=%{_sbindir} \\\
        -DCMAKE_INSTALL_SBINDIR:PATH=bin \\\
        -DCMAKE_INSTALL_LIBDIR:PATH=%{_lib} \\\
        -DINCLUDE_INSTALL_DIR:PATH=%{_includedir} \\\
        -DLIB_INSTALL_DIR:PATH=%{_libdir} \\\
        -DSYSCONF_INSTALL_DIR:PATH=%{_sysconfdir} \\\
        -DSHARE_INSTALL_PREFIX:PATH=%{_datadir} \\\
        %{?_cmake_lib_suffix64} \\\
        %{?_cmake_shared_libs} \\\
        %{?_cmake_skip_rpath}
%cmake_build %__cmake --build "%{__cmake_builddir}" %{?_smp_mflags} --verbose
%cmake_install DESTDIR="%{buildroot}" %__cmake --install "%{__cmake_builddir}"
%ctest(:-:) %{__ctest} --test-dir "%{__cmake_builddir}" --output-on-failure --force-new-ctest-process %{?_smp_mflags} %{**}
%cmake_version %(cmake --version 2>/dev/null | sed -n 's/^cmake version //p')
