package tree

import (
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

// dependencies lists all that a package needs to build.
func dependencies(t *testing.T, pkg string) []string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg)
	command.Dir = root
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v", pkg, err)
	}
	return strings.Fields(string(output))
}

// Who may not know whom, however indirectly (DESIGN.md).
func TestPackagesKnowOnlyWhomTheyMay(t *testing.T) {
	t.Parallel()
	forbidden := map[string][]string{
		"./internal/access":    {"latchkey/internal/directory", "go.temporal.io/", "github.com/", "golang.org/x/"},
		"./internal/directory": {"go.temporal.io/", "github.com/"},
		"./workflows":          {"github.com/jackc/pgx", "github.com/gin-gonic/gin", "latchkey/internal/store", "latchkey/internal/notify", "latchkey/api"},
		"./activities":         {"github.com/jackc/pgx", "github.com/gin-gonic/gin", "latchkey/internal/store", "latchkey/internal/panel"},
		"./internal/panel":     {"go.temporal.io/", "github.com/jackc/pgx", "latchkey/internal/store", "latchkey/internal/access"},
		"./panelsim":           {"go.temporal.io/", "github.com/jackc/pgx", "latchkey/internal/store", "latchkey/api", "latchkey/workflows"},
		"./internal/store":     {"go.temporal.io/server", "latchkey/workflows", "latchkey/api"},
		"./api":                {"go.temporal.io/server", "latchkey/internal/app"},
		"./internal/story":     {"go.temporal.io/", "github.com/jackc/pgx", "latchkey/internal/store"},
	}
	for pkg, prefixes := range forbidden {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			for _, dependency := range dependencies(t, pkg) {
				for _, prefix := range prefixes {
					if strings.HasPrefix(dependency, prefix) {
						t.Errorf("%s must not know %s", pkg, dependency)
					}
				}
			}
		})
	}
}
