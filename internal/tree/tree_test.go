package tree

import (
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// packages lists the folders with Go files in them.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && path != root || entry.Name() == "bin" || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			found[filepath.Dir(path)] = append(found[filepath.Dir(path)], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	for folder, files := range packages(t) {
		said := slices.ContainsFunc(files, func(file string) bool {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
			return err == nil && parsed.Doc != nil
		})
		if !said {
			t.Errorf("%s has no package comment", folder)
		}
	}
}

func TestFilesStayReadable(t *testing.T) {
	t.Parallel()
	const most = 500
	for _, files := range packages(t) {
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if lines := strings.Count(string(text), "\n"); lines > most {
				t.Errorf("%s has %d lines: what in it has a home of its own?", file, lines)
			}
		}
	}
}

// The top level is fixed (DESIGN.md).
func TestTopLevel(t *testing.T) {
	t.Parallel()
	allowed := []string{"workflows", "activities", "worker", "api", "panelsim", "deploy", "internal", "bin", "test-output",
		"go.mod", "go.sum", "docker-compose.yml", "README.md", "main.go", "Makefile", "LICENSE", "SECURITY.md", "CHANGELOG.md"}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasPrefix(name, ".") && !slices.Contains(allowed, name) {
			t.Errorf("%s does not belong at the top level", name)
		}
	}
}

// list is what `go list` answers, split at blanks.
func list(t *testing.T, arguments ...string) []string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", append([]string{"list"}, arguments...)...)
	command.Dir = root
	output, err := command.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Logf("%s", exit.Stderr)
		}
		t.Fatalf("go list %s: %v", strings.Join(arguments, " "), err)
	}
	return strings.Fields(string(output))
}

// The rules of access are arithmetic on facts: the standard library is enough for them.
func TestRulesNeedOnlyTheStandardLibrary(t *testing.T) {
	t.Parallel()
	const self = "latchkey/internal/access"
	for _, dependency := range list(t, "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", self) {
		if dependency != self {
			t.Errorf("%s must not know %s", self, dependency)
		}
	}
}

// The conformance suite is the second reading of the panel protocol: it shares no
// code with the first, and only its own test knows the panel that it starts.
func TestConformanceSharesNoCode(t *testing.T) {
	t.Parallel()
	const self = "latchkey/internal/conformance"
	imports := "{{range .TestImports}}{{.}} {{end}}{{range .XTestImports}}{{.}} {{end}}"
	known := append(list(t, "-deps", self), list(t, "-f", imports, self)...)
	for _, pkg := range known {
		if strings.HasPrefix(pkg, "latchkey/") && pkg != self && pkg != "latchkey/panelsim" {
			t.Errorf("%s must not know %s", self, pkg)
		}
	}
	if slices.Contains(list(t, "-deps", self), "latchkey/panelsim") {
		t.Errorf("only the test of %s starts simulated panels", self)
	}
}

// Only main puts the program together.
func TestOnlyMainKnowsTheApp(t *testing.T) {
	t.Parallel()
	const app = "latchkey/internal/app"
	imports := "{{$p := .ImportPath}}{{range .Imports}}{{$p}}={{.}} {{end}}{{range .TestImports}}{{$p}}={{.}} {{end}}{{range .XTestImports}}{{$p}}={{.}} {{end}}"
	for _, pair := range list(t, "-f", imports, "./...") {
		importer, imported, _ := strings.Cut(pair, "=")
		if imported == app && importer != "latchkey" && importer != app {
			t.Errorf("%s must not know %s: only main does", importer, app)
		}
	}
}

// The Temporal server takes minutes to compile and is compiled again for the race
// detector, so few packages link it; make unit tests only the others with that.
func TestFewPackagesLinkTheTemporalServer(t *testing.T) {
	t.Parallel()
	const server = "go.temporal.io/server/temporal"
	may := []string{"latchkey", "latchkey/internal/app", "latchkey/internal/temporalserver"}
	for _, pkg := range list(t, "./...") {
		if !slices.Contains(may, pkg) && slices.Contains(list(t, "-deps", "-test", pkg), server) {
			t.Errorf("%s links the Temporal server", pkg)
		}
	}
}

// Who may not know whom, however indirectly (DESIGN.md).
func TestPackagesKnowOnlyWhomTheyMay(t *testing.T) {
	t.Parallel()
	forbidden := map[string][]string{
		"./internal/directory": {"go.temporal.io/", "github.com/"},
		"./workflows":          {"github.com/jackc/pgx", "github.com/gin-gonic/gin", "latchkey/internal/store", "latchkey/internal/notify", "latchkey/internal/web", "latchkey/api"},
		"./activities":         {"github.com/jackc/pgx", "github.com/gin-gonic/gin", "latchkey/internal/store", "latchkey/internal/panel"},
		"./internal/web":       {"go.temporal.io/", "github.com/jackc/pgx", "latchkey/internal/store"},
		"./internal/panel":     {"go.temporal.io/", "github.com/jackc/pgx", "latchkey/internal/store", "latchkey/internal/access"},
		"./panelsim":           {"go.temporal.io/", "github.com/jackc/pgx", "latchkey/internal/store", "latchkey/api", "latchkey/workflows"},
		"./internal/store":     {"go.temporal.io/server", "latchkey/workflows", "latchkey/api"},
		"./api":                {"go.temporal.io/server"},
		"./internal/notify":    {"go.temporal.io/", "github.com/jackc/pgx", "latchkey/internal/store", "github.com/sendgrid", "github.com/twilio"},
		"./internal/delivery":  {"go.temporal.io/server", "latchkey/api", "latchkey/workflows"},
		"./internal/story":     {"go.temporal.io/", "github.com/jackc/pgx", "latchkey/internal/store"},
	}
	for pkg, prefixes := range forbidden {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			dependencies := list(t, "-deps", pkg)
			for _, prefix := range prefixes {
				known := func(dependency string) bool { return strings.HasPrefix(dependency, prefix) }
				if i := slices.IndexFunc(dependencies, known); i >= 0 {
					t.Errorf("%s must not know %s", pkg, dependencies[i])
				}
			}
		})
	}
}
