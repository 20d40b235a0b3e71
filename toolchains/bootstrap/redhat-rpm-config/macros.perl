# Perl's own directories are Debian's; INSTALLDIRS=vendor puts modules where these say.
%__perl /usr/bin/perl
%perl_vendorlib /usr/share/perl5
%perl_vendorarch %(perl -MConfig -e 'print $Config{vendorarch}' 2>/dev/null || echo /usr/lib/x86_64-linux-gnu/perl5)
%perl_privlib %(perl -MConfig -e 'print $Config{privlib}' 2>/dev/null || echo /usr/share/perl)
%perl_archlib %(perl -MConfig -e 'print $Config{archlib}' 2>/dev/null || echo /usr/lib/x86_64-linux-gnu/perl)
%perl_version %(perl -MConfig -e 'print $Config{version}' 2>/dev/null)
%perl_bootstrap %{nil}
%perl_default_filter %{expand:%%global __provides_exclude_from %{?__provides_exclude_from:%__provides_exclude_from|}^%{perl_vendorarch}/auto/.*\\.so$|^%{_docdir}} %{expand:%%global __requires_exclude_from %{?__requires_exclude_from:%__requires_exclude_from|}^%{_docdir}}
