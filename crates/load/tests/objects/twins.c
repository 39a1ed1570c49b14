/* Two sections of one name, as linkers and assemblers may make them: each has a program. */
#define PROGRAM(name, section, result)                                                    \
	asm(".section xdp,\"ax\",@progbits,unique," #section "\n"                         \
	    ".globl " #name "\n.type " #name ",@function\n" #name ":\n"                    \
	    "r0 = " #result "\nexit\n.size " #name ", .-" #name "\n")

PROGRAM(first_twin, 1, 1);
PROGRAM(second_twin, 2, 2);
