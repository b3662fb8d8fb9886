package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
)

const localhost = "127.0.0.1"

// ports are where the four services listen, all on 127.0.0.1.
type ports struct{ frontend, history, matching, worker int }

// choosePorts finds free ports, for the frontend only if none is given. They lie
// below those that the system hands to outgoing connections: one of those could
// be gone between being found and being used.
func choosePorts(frontend int) (p ports, err error) {
	p.frontend = frontend
	taken := map[int]bool{frontend: true}
	for _, port := range []*int{&p.frontend, &p.history, &p.matching, &p.worker} {
		for *port == 0 || (port != &p.frontend && taken[*port]) {
			if *port, err = freePort(); err != nil {
				return ports{}, err
			}
		}
		taken[*port] = true
	}
	return p, nil
}

// freePort finds one port.
func freePort() (int, error) {
	const lowest, count, tries = 20000, 12000, 200
	for range tries {
		port := lowest + rand.IntN(count)
		if probe(localAddr(port)) == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("found no free port from %d to %d on %s", lowest, lowest+count-1, localhost)
}

func probe(addr string) error {
	var listen net.ListenConfig
	listener, err := listen.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return listener.Close()
}

// portIsFree turns a port that is taken into a sentence. An empty address is fine.
func portIsFree(addr, remedy string) error {
	if addr == "" {
		return nil
	}
	err := probe(addr)
	if err == nil {
		return nil
	}
	_, port, splitErr := net.SplitHostPort(addr)
	if splitErr == nil && errors.Is(err, syscall.EADDRINUSE) {
		return &TakenError{Port: port, Remedy: remedy, Err: err}
	}
	return fmt.Errorf("%q is no address to listen on (%s): %w", addr, remedy, err)
}

// TakenError is a port that another program listens on.
type TakenError struct {
	Port   string
	Remedy string
	Err    error
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("port %s is taken: stop what uses it or %s", e.Port, e.Remedy)
}

func (e *TakenError) Unwrap() error { return e.Err }
