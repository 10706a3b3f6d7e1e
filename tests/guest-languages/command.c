// A command in C: prints its arguments, a variable and a file, and ends with the code that is told first.
//
//   main CODE FILE WORD...

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    for (int i = 3; i < argc; i++) printf("%s\n", argv[i]);
    const char *color = getenv("COLOR");
    printf("COLOR=%s\n", color ? color : "");
    FILE *file = fopen(argv[2], "r");
    if (!file) {
        perror(argv[2]);
        return 1;
    }
    for (int byte; (byte = fgetc(file)) != EOF;) putchar(byte);
    fprintf(stderr, "written in C\n");
    return atoi(argv[1]);
}
