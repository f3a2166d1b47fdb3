// Package dynamodb keeps sessions and roots in a DynamoDB table instead of objects:
// conditional writes there are faster than on S3 and cost less when a hub renews often.
// One item a record, one condition an item; no transactions.
//
// Item: "k" the key (S, the table's hash key), "b" the body (B), "v" the version (S,
// fresh in every write).
package dynamodb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// Config says which table. Credentials come from the AWS default chain.
type Config struct {
	Table string
	// Prefix is put before every key with a '/', so that hubs can share a table.
	Prefix string
	// Endpoint is the base URL of a server other than AWS; empty: AWS.
	Endpoint string
	// Region; empty: from the environment or profile, else us-east-1 with an endpoint.
	Region string
}

// Register is a lease.Register in a table. It may be used concurrently and retries
// nothing.
type Register struct {
	cfg    Config
	client *dynamodb.Client
}

var _ lease.Register = (*Register)(nil)

// createTimeout bounds the creation of the table; AWS takes some seconds.
const createTimeout = 2 * time.Minute

// Open finds the table, and creates it when it is missing and the credentials allow it.
func Open(ctx context.Context, cfg Config) (*Register, error) {
	if cfg.Table == "" {
		return nil, errors.New("dynamodb: no table is named")
	}
	load := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		config.WithHTTPClient(awshttp.NewBuildableClient()), // one of its own: AWS_CA_BUNDLE is added to it
	}
	if cfg.Region != "" {
		load = append(load, config.WithRegion(cfg.Region))
	}
	loaded, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("dynamodb: table %s: %w", cfg.Table, err)
	}
	if loaded.Region == "" && cfg.Endpoint != "" {
		loaded.Region = "us-east-1"
	}
	r := &Register{cfg: cfg, client: dynamodb.NewFromConfig(loaded, func(o *dynamodb.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint = &cfg.Endpoint
		}
	})}
	if err := r.ensure(ctx); err != nil {
		return nil, fmt.Errorf("dynamodb: table %s: %w", cfg.Table, verdict(err))
	}
	return r, nil
}

// ensure waits until the table is there, and creates it if nobody has.
func (r *Register) ensure(ctx context.Context) error {
	describe := &dynamodb.DescribeTableInput{TableName: &r.cfg.Table}
	d, err := r.client.DescribeTable(ctx, describe)
	var missing *types.ResourceNotFoundException
	switch {
	case errors.As(err, &missing):
		_, err = r.client.CreateTable(ctx, &dynamodb.CreateTableInput{
			TableName:            &r.cfg.Table,
			BillingMode:          types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("k"), AttributeType: types.ScalarAttributeTypeS}},
			KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("k"), KeyType: types.KeyTypeHash}},
		})
		var faster *types.ResourceInUseException
		if err != nil && !errors.As(err, &faster) {
			return fmt.Errorf("it is missing and cannot be created: %w", err)
		}
	case err != nil:
		return err
	case d.Table.TableStatus == types.TableStatusActive:
		return r.check(d.Table)
	}
	wait := dynamodb.NewTableExistsWaiter(r.client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 200*time.Millisecond, 2*time.Second
	})
	return wait.Wait(ctx, describe, createTimeout)
}

// check refuses a table that is somebody else's.
func (r *Register) check(t *types.TableDescription) error {
	if len(t.KeySchema) != 1 || aws.ToString(t.KeySchema[0].AttributeName) != "k" {
		return errors.New(`its key is not "k" alone: it is used for something else`)
	}
	return nil
}

func (r *Register) key(key string) map[string]types.AttributeValue {
	if r.cfg.Prefix != "" {
		key = r.cfg.Prefix + "/" + key
	}
	return map[string]types.AttributeValue{"k": &types.AttributeValueMemberS{Value: key}}
}

// Get implements lease.Register.
func (r *Register) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	out, err := r.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &r.cfg.Table, Key: r.key(key), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, "", r.failed("get", key, err)
	}
	if out.Item == nil {
		return nil, "", r.failed("get", key, storage.ErrNotFound)
	}
	body, ok1 := out.Item["b"].(*types.AttributeValueMemberB)
	version, ok2 := out.Item["v"].(*types.AttributeValueMemberS)
	if !ok1 || !ok2 {
		return nil, "", r.failed("get", key, errors.New("the item has not the attributes b and v"))
	}
	return body.Value, storage.Tag(version.Value), nil
}

// Create implements lease.Register.
func (r *Register) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	return r.put(ctx, "create", key, body, "attribute_not_exists(k)", nil)
}

// Replace implements lease.Register.
func (r *Register) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	return r.put(ctx, "replace", key, body, "v = :old", map[string]types.AttributeValue{
		":old": &types.AttributeValueMemberS{Value: string(old)},
	})
}

func (r *Register) put(ctx context.Context, verb, key string, body []byte, condition string, values map[string]types.AttributeValue) (storage.Tag, error) {
	// A signature of DynamoDB's has no end of its own; the condition is what keeps a late
	// write out. This saves the request.
	if err := storage.CheckDeadline(ctx, time.Now()); err != nil {
		return "", r.failed(verb, key, err)
	}
	version := rand.Text()
	item := r.key(key)
	item["b"] = &types.AttributeValueMemberB{Value: body}
	item["v"] = &types.AttributeValueMemberS{Value: version}
	_, err := r.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &r.cfg.Table, Item: item, ConditionExpression: &condition, ExpressionAttributeValues: values,
	})
	if err != nil {
		return "", r.failed(verb, key, err)
	}
	return storage.Tag(version), nil
}

// Delete removes a record. No lease does that, for an epoch must never go back: it is for
// those who try out the table.
func (r *Register) Delete(ctx context.Context, key string) error {
	_, err := r.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &r.cfg.Table, Key: r.key(key)})
	if err != nil {
		return r.failed("delete", key, err)
	}
	return nil
}

func (r *Register) failed(verb, key string, err error) error {
	return fmt.Errorf("dynamodb: %s %s in table %s: %w", verb, key, r.cfg.Table, verdict(err))
}

// verdict gives an answer of the service its sentinel; anything else leaves the outcome
// unknown.
func verdict(err error) error {
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return storage.ErrConflict
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "AccessDeniedException", "UnrecognizedClientException", "MissingAuthenticationTokenException",
			"InvalidSignatureException", "IncompleteSignatureException":
			return fmt.Errorf("%w: %w", storage.ErrDenied, err)
		}
	}
	return err
}
