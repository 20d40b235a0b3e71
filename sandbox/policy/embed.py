"""Turns the policy's text files into one C file: each profile is the common part followed by its own."""
import sys

out, common, *parts = sys.argv[1:]
with open(out, 'w') as f:
    f.write('#include "sandbox/policy.h"\n\n')
    for part in parts:
        name = part.replace('\\', '/').split('/')[-1].split('.')[0]
        text = open(common, encoding='ascii').read() + open(part, encoding='ascii').read()
        f.write(f'const char policy_{name}[] =\n')
        for line in text.splitlines():
            quoted = line.replace('\\', '\\\\').replace('"', '\\"')
            f.write(f'        "{quoted}\\n"\n')
        f.write('        ;\n\n')
