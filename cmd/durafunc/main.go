// Command durafunc is the host of durable functions: see durafunc --help.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

func main() {
	tuneGC()
	if err := root().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "durafunc:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "durafunc",
		Short: "A host for durable functions whose only infrastructure is a bucket",
		Long: `durafunc runs durable functions: orchestrations that survive crashes, restarts and
deployments, with a directory or an S3 bucket as the only infrastructure.

Put function apps (programs written with plugins/durable) into functions/, then:

  durafunc start                     run the host in the current directory
  curl -X POST localhost:7071/runtime/webhooks/durabletask/orchestrators/NAME

host.json chooses the store and the limits; without it the state is kept in .durafunc/.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(startCommand(), hubCommand(), doctorCommand(), versionCommand())
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "durafunc", version) },
	}
}
