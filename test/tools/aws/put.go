package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

type putQuestion struct {
	Region         string `json:"region"`
	URL            string `json:"url"`
	Bucket         string `json:"bucket"`
	Key            string `json:"key"`
	ForcePathStyle bool   `json:"forcePathStyle"`
	// Nil: the location does not have the key.
	ChecksumAlgorithm *string `json:"checksumAlgorithm"`
	Body              string  `json:"body"`
}

type putAnswer struct {
	Error string `json:"error"`
}

const keys = "[default]\naws_access_key_id = id\naws_secret_access_key = secret\n"

// put writes one object as velero-plugin-for-aws does (object_store.go: Init, buildPutObjectInput, PutObject; config.go: newS3Client).
func put(ctx context.Context, asked putQuestion) putAnswer {
	if err := tryPut(ctx, asked); err != nil {
		return putAnswer{Error: err.Error()}
	}
	return putAnswer{}
}

func tryPut(ctx context.Context, asked putQuestion) error {
	algorithm := string(types.ChecksumAlgorithmCrc32)
	if asked.ChecksumAlgorithm != nil {
		algorithm = *asked.ChecksumAlgorithm
	}
	if typed := types.ChecksumAlgorithm(algorithm); algorithm != "" && !slices.Contains(typed.Values(), typed) {
		return fmt.Errorf("invalid checksum algorithm: %s", algorithm)
	}
	file, err := fileWith(keys)
	if err != nil {
		return err
	}
	defer os.Remove(file)
	conf, err := load(ctx, asked.Region, "", file)
	if err != nil {
		return err
	}
	client := s3.NewFromConfig(conf, func(o *s3.Options) {
		o.UsePathStyle = asked.ForcePathStyle
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.RetryMaxAttempts = 1
		if asked.URL != "" {
			o.BaseEndpoint = aws.String(asked.URL)
		}
	})
	input := &s3.PutObjectInput{
		Bucket: aws.String(asked.Bucket),
		Key:    aws.String(asked.Key),
		Body:   bytes.NewReader([]byte(asked.Body)),
	}
	if algorithm != "" {
		input.ChecksumAlgorithm = types.ChecksumAlgorithm(algorithm)
	}
	_, err = manager.NewUploader(client).Upload(ctx, input)
	return err
}

// pluginsFolder is where Velero lets plugins write: pkg/persistence/object_store.go trims, object_store_layout.go joins.
func pluginsFolder(prefix string) string {
	trimmed := strings.Trim(prefix, "/")
	if trimmed != "" {
		trimmed += "/"
	}
	return path.Join(trimmed, "plugins") + "/"
}
