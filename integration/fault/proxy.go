package fault

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// maxMessage is far above what containerd sends in one message.
const maxMessage = 64 << 20

// maxAway is how long containerd can be back before the proxy knows.
const maxAway = 50 * time.Millisecond

// Plan says which call fails, or when something else happens.
type Plan struct {
	// Methods are parts of full method names, "snapshots" or
	// "snapshots.v1.Snapshots/Prepare"; a call counts if any of them is in its
	// name.
	Methods []string
	// Nth is the call that fails, from 1. With 0 none does: calls are only
	// counted.
	Nth int
	// Do, if it is not nil, is run at the nth call, to kill one of the daemons.
	// Without After, containerd never sees the call. With After, it has done
	// what was asked for; the caller of a method that answers once learns
	// nothing of that, the caller of one that streams may have.
	Do    func()
	After bool
	// Pass has the call go on to containerd as any other, once Do has returned.
	Pass bool
}

// Proxy is a containerd socket whose calls can be made to fail.
type Proxy struct {
	server *grpc.Server
	target *grpc.ClientConn
	done   chan error

	mu     sync.Mutex
	plan   *Plan
	seen   int
	failed string
}

// Listen makes a proxy at socket, for the containerd at target. Both are paths.
func Listen(socket, target string) (*Proxy, error) {
	conn, err := grpc.NewClient("unix://"+target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: maxAway, MaxDelay: maxAway}, MinConnectTimeout: time.Second}),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
	if err != nil {
		return nil, fmt.Errorf("dial containerd at %s: %w", target, err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for dockerd: %w", err), conn.Close())
	}
	p := &Proxy{target: conn, done: make(chan error, 1)}
	p.server = grpc.NewServer(
		grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(p.handle),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))
	go func() { p.done <- p.server.Serve(l) }()
	return p, nil
}

// Close ends the proxy and every call through it, and removes its socket.
func (p *Proxy) Close() error {
	p.server.Stop()
	return errors.Join(<-p.done, p.target.Close())
}

// Set starts counting for a plan, in place of any before.
func (p *Proxy) Set(plan Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan, p.seen, p.failed = &plan, 0, ""
}

// Clear ends the plan. It returns how many calls counted, and the full name of
// the method that failed, or at which something was done, "" if there was none.
func (p *Proxy) Clear() (seen int, failed string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = nil
	return p.seen, p.failed
}

// chosen counts a call. It returns the plan if this is the call that it is
// about, or else nil.
func (p *Proxy) chosen(method string) *Plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plan == nil || !p.plan.counts(method) {
		return nil
	}
	p.seen++
	if p.seen != p.plan.Nth {
		return nil
	}
	p.failed = method
	return p.plan
}

func (p Plan) counts(method string) bool {
	for _, m := range p.Methods {
		if strings.Contains(method, m) {
			return true
		}
	}
	return false
}

func (p *Proxy) handle(_ any, in grpc.ServerStream) error {
	method, ok := grpc.MethodFromServerStream(in)
	if !ok {
		return status.Error(codes.Internal, "call without a method")
	}
	plan := p.chosen(method)
	switch {
	case plan == nil:
		return p.forward(method, in)
	case plan.Do == nil:
		return status.Errorf(codes.Internal, "fault: %s was made to fail", method)
	}
	var err error
	if plan.After {
		err = p.forward(method, in)
	}
	plan.Do()
	if plan.Pass {
		return p.forward(method, in)
	}
	if err != nil {
		return err
	}
	return status.Errorf(codes.Unavailable, "fault: %s got no answer", method)
}

func (p *Proxy) forward(method string, in grpc.ServerStream) error {
	ctx := in.Context()
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, md.Copy())
	}
	out, err := p.target.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	go func() {
		// An error of the caller ends ctx, and with it the call below.
		if pump(out, in) == nil {
			_ = out.CloseSend()
		}
	}()
	if header, err := out.Header(); err == nil {
		if err := in.SetHeader(header); err != nil {
			return err
		}
	}
	err = pump(in, out)
	in.SetTrailer(out.Trailer())
	return err
}

type sender interface{ SendMsg(m any) error }

type receiver interface{ RecvMsg(m any) error }

// pump passes messages on until there are no more.
func pump(to sender, from receiver) error {
	for {
		var m message
		if err := from.RecvMsg(&m); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := to.SendMsg(&m); err != nil {
			return err
		}
	}
}

// message is a call's message, not decoded.
type message struct{ bytes []byte }

// raw is a codec that leaves messages as they are. It goes by protobuf's name,
// which is part of the calls' content type.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) ([]byte, error) {
	m, ok := v.(*message)
	if !ok {
		return nil, fmt.Errorf("cannot send a %T", v)
	}
	return m.bytes, nil
}

func (raw) Unmarshal(data []byte, v any) error {
	m, ok := v.(*message)
	if !ok {
		return fmt.Errorf("cannot receive a %T", v)
	}
	m.bytes = data
	return nil
}
