/* The text of each profile, embedded from policy/ when building. Private to the room. */
#pragma once

extern const char policy_install[];
extern const char policy_build[];
extern const char policy_check[];
