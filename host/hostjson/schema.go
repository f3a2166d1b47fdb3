package hostjson

import "strings"

// section lists the keys of one object of host.json.
type section struct {
	read   []string // what Load reads, sections of their own included
	azure  []string // known to Azure Functions, without effect here so far
	strict bool     // an unknown key is an error
	open   bool     // keys are names that users choose
}

const (
	pathDurable = "extensions.durableTask"
	pathStorage = "extensions.durableTask.storageProvider"
	pathLeases  = "extensions.durableTask.storageProvider.leases"
)

// schema has the sections by dotted path. An unknown key is a mistyped one more
// often than not; in storageProvider it could silently select another store and
// with it another history, so there it is an error.
var schema = map[string]section{
	"": {
		read: []string{"version", "functionsDirectory", "logging", "extensions"},
		azure: []string{"functionTimeout", "functions", "watchDirectories", "watchFiles", "aggregator", "healthMonitor", "singleton",
			"retry", "concurrency", "customHandler", "extensionBundle", "managedDependency", "httpWorker", "http",
			"telemetryMode", "sendCanceledInvocationsToWorker", "metadataProviderTimeout", "id", "applicationInsights",
			"queues", "blobs", "serviceBus", "eventHub", "documentDB", "sendGrid", "tracing", "$schema"},
	},
	"logging": {
		read:  []string{"logLevel"},
		azure: []string{"fileLoggingMode", "console", "applicationInsights"},
	},
	"logging.logLevel": {read: []string{"default"}, open: true},
	"extensions": {
		read: []string{"durableTask", "http"},
		azure: []string{"queues", "blobs", "serviceBus", "eventHubs", "cosmosDB", "sendGrid", "signalR", "warmup",
			"azureStorage", "tables", "kafka", "mongoDB", "rabbitMQ", "eventGrid"},
	},
	"extensions.http": {
		azure: []string{"routePrefix", "maxConcurrentRequests", "maxOutstandingRequests", "dynamicThrottlesEnabled", "hsts", "customHeaders"},
	},
	pathDurable: {
		read: []string{"hubName", "maxConcurrentActivityFunctions", "maxConcurrentOrchestratorFunctions",
			"overridableExistingInstanceStates", "storageProvider", "nonDeterminism", "functionNotFoundTimeout",
			"maxPayloadBytes", "advertiseAddress", "peerPort"},
		azure: []string{"defaultVersion", "versionMatchStrategy", "versionFailureStrategy", "maxConcurrentEntityFunctions",
			"maxEntityOperationBatchSize", "maxOrchestrationActions", "extendedSessionsEnabled",
			"extendedSessionIdleTimeoutInSeconds", "entityMessageReorderWindowInMinutes",
			"rollbackEntityOperationsOnExceptions", "throwStatusExceptionsOnRaiseEvent",
			"storeInputsInOrchestrationHistory", "useGracefulShutdown", "useAppLease", "appLeaseOptions",
			"localRpcEndpointEnabled", "maxGrpcMessageSizeInBytes", "grpcHttpClientTimeout", "tracing", "httpSettings",
			"notifications", "maxDispatchCount", "retention"},
	},
	pathStorage: {
		read: []string{"type", "path", "bucket", "prefix", "endpoint", "region", "forcePathStyle", "partitionCount",
			"leaseDuration", "leases"},
		azure: []string{"connectionName", "connectionStringName", "controlQueueBatchSize", "controlQueueBufferThreshold",
			"controlQueueVisibilityTimeout", "workItemQueueVisibilityTimeout", "maxQueuePollingInterval",
			"trackingStoreConnectionName", "trackingStoreNamePrefix", "fetchLargeMessagesAutomatically",
			"useLegacyPartitionManagement", "useTablePartitionManagement", "allowReplayingTerminalInstances",
			"queueClientMessageEncoding"},
		strict: true,
	},
	pathLeases: {read: []string{"type", "table", "endpoint", "region"}, strict: true},
}

// checkKeys reports the keys of n, whose path is given, that have no effect.
func checkKeys(n *node, path string, r *report) {
	if n == nil || n.kind == 'n' {
		return
	}
	s := schema[path]
	if n.kind != '{' {
		r.errorf(n.where, path, "must be an object in braces")
		return
	}
	for _, c := range n.items {
		key := joinKey(path, c.key)
		if name, ok := contains(s.read, c.key); ok {
			if below := joinKey(path, name); isSection(below) {
				checkKeys(c, below, r)
			}
			continue
		}
		if _, ok := contains(s.azure, c.key); ok || s.open {
			r.note(c.where, key, "not used by durafunc yet")
			continue
		}
		hint := ""
		if best := nearest(c.key, s.read, s.azure); best != "" {
			hint = "; did you mean " + best + "?"
		}
		if s.strict {
			r.errorf(c.where, key, "unknown key%s", hint)
		} else {
			r.warn(c.where, key, "unknown key, ignored%s", hint)
		}
	}
}

func isSection(path string) bool {
	_, ok := schema[path]
	return ok
}

func contains(names []string, key string) (string, bool) {
	for _, n := range names {
		if strings.EqualFold(n, key) {
			return n, true
		}
	}
	return "", false
}

// nearest is the known key that a mistyped one most likely stands for: at most a
// third of its letters wrong. Empty if there is none.
func nearest(key string, lists ...[]string) string {
	if len(key) > 100 {
		return ""
	}
	best, least := "", 0
	for _, list := range lists {
		for _, name := range list {
			d := editDistance(strings.ToLower(key), strings.ToLower(name))
			if d <= len(name)/3 && (best == "" || d < least) {
				best, least = name, d
			}
		}
	}
	return best
}

// editDistance counts the insertions, deletions and replacements of bytes that
// turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
