package app

import (
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strings"

	"github.com/alecthomas/kong"
)

// EnvPrefix begins the variable of every flag: --temporal-ui is LATCHKEY_TEMPORAL_UI.
const EnvPrefix = "LATCHKEY"

// Version is set when the program is built.
var Version = "development"

// Commands is the command line.
type Commands struct {
	Up        Up               `cmd:"" help:"Run everything in one process, with a private PostgreSQL and Temporal."`
	API       API              `cmd:"" name:"api" help:"Serve the HTTP API and pages alone."`
	Worker    Worker           `cmd:"" help:"Run the workflows and activities alone."`
	Migrate   Migrate          `cmd:"" help:"Bring the database schema up to date and stop."`
	Panelsim  Panelsim         `cmd:"" help:"Run one simulated panel."`
	Demo      Demo             `cmd:"" help:"Play the story of an invitation with a running commentary."`
	Bench     Bench            `cmd:"" help:"Measure unlocks against a baseline in the same run."`
	RotateKey RotateKey        `cmd:"" help:"Make a new key by which panels know the engine; they change over by themselves."`
	Version   kong.VersionFlag `help:"Print the version."`
}

// Log is how much the program says on standard error.
type Log struct {
	LogLevel string `help:"What to log: debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
	LogJSON  bool   `name:"log-json" help:"Log as JSON, for machines."`
}

// Outside is where PostgreSQL is if it is not the private one. Temporal is found
// by Temporal's own variables (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY,
// TEMPORAL_TLS…), or a profile of its configuration file.
type Outside struct {
	DatabaseURL string `name:"database-url" env:"DATABASE_URL" help:"An outside PostgreSQL, as a URL or DSN." placeholder:"URL"`
}

// Serving is where the API listens and how links to it begin.
type Serving struct {
	Listen         string   `help:"Where the API and the pages listen." default:"127.0.0.1:8080"`
	BaseURL        string   `help:"How links in messages begin; the listening address if not given." placeholder:"URL"`
	TrustedProxies []string `help:"Networks (CIDR) whose X-Forwarded-For is believed."`
}

func (s Serving) baseURL() (string, error) {
	if s.BaseURL == "" {
		return "http://" + s.Listen, nil
	}
	u, err := url.Parse(s.BaseURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", fmt.Errorf("--base-url (%s_BASE_URL) %q is not an address such as https://keys.example.com", EnvPrefix, s.BaseURL)
	}
	return strings.TrimSuffix(s.BaseURL, "/"), nil
}

// CheckEnvironment refuses variables that begin like ours and are none: a
// misspelt setting must not be silently without effect.
func CheckEnvironment(model *kong.Application, environ []string) error {
	known := map[string]bool{}
	var visit func(n *kong.Node)
	visit = func(n *kong.Node) {
		for _, flag := range n.Flags {
			for _, name := range flag.Envs {
				known[name] = true
			}
		}
		for _, child := range n.Children {
			visit(child)
		}
	}
	visit(model.Node)
	for _, name := range secretVariables {
		known[name] = true
	}
	var names []string
	for name := range known {
		if strings.HasPrefix(name, EnvPrefix+"_") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, EnvPrefix+"_") && !known[name] && !slices.Contains(testVariables, name) {
			return fmt.Errorf("the variable %s is not known; these are: %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

// testVariables are read by tests that run the program, not by the program.
var testVariables = []string{"LATCHKEY_BIN", "LATCHKEY_TEST_DATABASE_URL"}
