package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

type credentialsQuestion struct {
	Text    string `json:"text"`
	Profile string `json:"profile"`
}

// credentialsAnswer holds what the file gives. Error: why it gives nothing.
type credentialsAnswer struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
	Region          string `json:"region"`
	Error           string `json:"error"`
}

func readCredentials(ctx context.Context, asked credentialsQuestion) (found credentialsAnswer) {
	// Its reader ends the process with some texts.
	defer func() {
		if reason := recover(); reason != nil {
			found = credentialsAnswer{Error: fmt.Sprint("panic: ", reason)}
		}
	}()
	file, err := fileWith(asked.Text)
	if err != nil {
		return credentialsAnswer{Error: err.Error()}
	}
	defer os.Remove(file)
	conf, err := load(ctx, "", asked.Profile, file)
	if err != nil {
		return credentialsAnswer{Error: err.Error()}
	}
	taken, err := conf.Credentials.Retrieve(ctx)
	if err != nil {
		return credentialsAnswer{Error: err.Error()}
	}
	return credentialsAnswer{
		AccessKeyID:     taken.AccessKeyID,
		SecretAccessKey: taken.SecretAccessKey,
		SessionToken:    taken.SessionToken,
		Region:          conf.Region,
	}
}

func fileWith(text string) (string, error) {
	file, err := os.CreateTemp("", "credentials-")
	if err != nil {
		return "", err
	}
	defer file.Close()
	_, err = file.WriteString(text)
	return file.Name(), err
}

// load is what velero-plugin-for-aws does in config.go: the Secret's file is read as both kinds of file.
func load(ctx context.Context, region, profile, file string) (aws.Config, error) {
	return config.LoadDefaultConfig(ctx,
		config.WithRegion(region),
		config.WithSharedConfigProfile(profile),
		config.WithSharedCredentialsFiles([]string{file}),
		config.WithSharedConfigFiles([]string{file}),
		config.WithEC2IMDSClientEnableState(imds.ClientDisabled),
	)
}
