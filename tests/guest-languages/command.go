// A command in Go: prints its arguments, a variable and a file, and ends with the code that is told first.
//
//	main CODE FILE WORD...
package main

import (
	"fmt"
	"os"
	"strconv"
)

func main() {
	for _, word := range os.Args[3:] {
		fmt.Println(word)
	}
	fmt.Printf("COLOR=%s\n", os.Getenv("COLOR"))
	content, err := os.ReadFile(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Stdout.Write(content)
	fmt.Fprintln(os.Stderr, "written in Go")
	code, _ := strconv.Atoi(os.Args[1])
	os.Exit(code)
}
