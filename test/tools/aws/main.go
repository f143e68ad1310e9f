// Asks aws-sdk-go-v2, in the versions that Velero's AWS plugin is built with, what it makes of credentials files, settings and prefixes.
// It reads one JSON document from standard input and writes one to standard output; nobody else is talked to but the addresses in it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

type question struct {
	Credentials []credentialsQuestion `json:"credentials"`
	Puts        []putQuestion         `json:"puts"`
	Prefixes    []string              `json:"prefixes"`
}

type answer struct {
	Credentials []credentialsAnswer `json:"credentials"`
	Puts        []putAnswer         `json:"puts"`
	Prefixes    []string            `json:"prefixes"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	var asked question
	if err := decoder.Decode(&asked); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	found := answer{Credentials: []credentialsAnswer{}, Puts: []putAnswer{}, Prefixes: []string{}}
	for _, one := range asked.Credentials {
		found.Credentials = append(found.Credentials, readCredentials(ctx, one))
	}
	for _, one := range asked.Puts {
		found.Puts = append(found.Puts, put(ctx, one))
	}
	for _, one := range asked.Prefixes {
		found.Prefixes = append(found.Prefixes, pluginsFolder(one))
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}
