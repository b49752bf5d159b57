package dns

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// name is the conventional name of the Service.
const name = "kube-dns"

// Publish creates the Service through which pods reach the server, with the server's address as its
// endpoint.
func Publish(ctx context.Context, api kubernetes.Interface, service net.IP, address string) error {
	err := publish(ctx, api, service, address)
	if err != nil {
		return fmt.Errorf("make the Service %s: %w", name, err)
	}
	return nil
}

func publish(ctx context.Context, api kubernetes.Interface, service net.IP, address string) error {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				"k8s-app": name, "kubernetes.io/name": "CoreDNS", "kubernetes.io/cluster-service": "true",
			},
		},
		// Without a selector, as the server does not run in a pod.
		Spec: corev1.ServiceSpec{
			ClusterIP: service.String(),
			Ports: []corev1.ServicePort{
				{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
				{Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP},
			},
		},
	}
	// Get comes first: creating an existing Service would fail because its address is taken, not
	// because its name exists.
	_, err := api.CoreV1().Services(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = api.CoreV1().Services(metav1.NamespaceSystem).Create(ctx, svc, metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	port, udp, tcp, yes := int32(Port), corev1.ProtocolUDP, corev1.ProtocolTCP, true
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				discoveryv1.LabelServiceName: name,
				discoveryv1.LabelManagedBy:   "pipe-cluster",
			},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{
			{Name: new("dns"), Port: &port, Protocol: &udp},
			{Name: new("dns-tcp"), Port: &port, Protocol: &tcp},
		},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &yes}}},
	}
	published := api.DiscoveryV1().EndpointSlices(metav1.NamespaceSystem)
	_, err = published.Create(ctx, slice, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = published.Update(ctx, slice, metav1.UpdateOptions{})
	}
	return err
}

// Wait waits until the Service resolves the name of the API server to its address.
func Wait(ctx context.Context, service, api net.IP) error {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(service.String(), "53"))
	}}
	for {
		one, cancel := context.WithTimeout(ctx, time.Second)
		ips, err := r.LookupHost(one, "kubernetes.default.svc.cluster.local.")
		cancel()
		if err == nil && slices.Contains(ips, api.String()) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster's DNS does not answer at %s: %w", service, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
