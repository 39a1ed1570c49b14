/* libbpf as the judge: loads each program of an object by itself and prints its name, the errno
 * ("-" for none), and the line of the log that says why. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

extern const char *strerrorname_np(int);

static char text[1 << 20];

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level, (void)format, (void)arguments;
	return 0;
}

/* The last line before the statistics. */
static const char *reason(void)
{
	char *found = "", *line = strtok(text, "\n");
	for (; line; line = strtok(NULL, "\n"))
		if (strncmp(line, "processed ", 10) && strncmp(line, "verification time", 17) &&
		    strncmp(line, "stack depth", 11))
			found = line;
	return found;
}

int main(int count, char **arguments)
{
	char names[64][64];
	int programs = 0;
	struct bpf_program *program;
	struct bpf_object *object;

	libbpf_set_print(quiet);
	if (count != 2 || !(object = bpf_object__open_file(arguments[1], NULL)))
		return 2;
	bpf_object__for_each_program(program, object)
		if (programs < 64)
			snprintf(names[programs++], 64, "%s", bpf_program__name(program));
	bpf_object__close(object);
	for (int index = 0; index < programs; index++) {
		if (!(object = bpf_object__open_file(arguments[1], NULL)))
			return 2;
		text[0] = 0;
		bpf_object__for_each_program(program, object) {
			int is_it = !strcmp(bpf_program__name(program), names[index]);
			bpf_program__set_autoload(program, is_it);
			if (is_it) {
				bpf_program__set_log_level(program, 1);
				bpf_program__set_log_buf(program, text, sizeof(text));
			}
		}
		int failed = bpf_object__load(object);
		printf("%s\t%s\t%s\n", names[index], failed ? strerrorname_np(-failed) : "-",
		       failed ? reason() : "");
		bpf_object__close(object);
	}
	return 0;
}
