"""Makes a C header with one string, `kiln_report_style`, out of a style sheet.

Usage: embed-style.py IN OUT
"""
import json
import sys

with open(sys.argv[1], encoding="ascii") as f:
    lines = f.readlines()
with open(sys.argv[2], "w", encoding="ascii") as f:
    f.write("static const char kiln_report_style[] =\n")
    f.writelines(f"        {json.dumps(line)}\n" for line in lines)
    f.write("        ;\n")
