package access_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"latchkey/internal/access"
)

// Every type of event that there is can be asked for by name (E4).
func TestEventTypesAreComplete(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	listed := access.EventTypes()
	var declared int
	ast.Inspect(file, func(n ast.Node) bool {
		literal, ok := n.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		if access.EventType(value) == access.EventWebhookTest {
			return true
		}
		declared++
		if !slices.Contains(listed, access.EventType(value)) {
			t.Errorf("%s is not in EventTypes: apps cannot ask for it", value)
		}
		return true
	})
	if declared != len(listed) {
		t.Errorf("%d types are declared and %d listed", declared, len(listed))
	}
}
