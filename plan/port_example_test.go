package plan_test

import "fmt"

func ExampleExposure() {
	p := evaluate(`container("web", image = "nginx", ports = [port(8080, service = 80, kind = "LoadBalancer", annotations = {"pool": "public"})])`)
	show(p.Services[0].Workload.Ports[0].Exposure)
	// Output: {"service":80,"kind":"LoadBalancer","annotations":{"pool":"public"}}
}

func ExamplePort_ServicePort() {
	p := evaluate(`container("web", image = "nginx", ports = [port(8080, service = 80), 9090])`)
	for _, port := range p.Services[0].Workload.Ports {
		fmt.Println(port.Number, port.ServicePort())
	}
	// Output:
	// 8080 80
	// 9090 9090
}

func ExampleServiceKind_Outside() {
	p := evaluate(`container("web", image = "nginx", ports = [port(8080, kind = "NodePort"), port(9090, kind = "headless")])`)
	for _, port := range p.Services[0].Workload.Ports {
		fmt.Println(port.Kind, port.Kind.Outside())
	}
	// Output:
	// NodePort true
	// headless false
}

func ExampleTLS() {
	p := evaluate(`container("web", image = "nginx", ports = [port(8080, public = True, host = "shop.example.org", tls = True)])`)
	fmt.Println(p.Services[0].Workload.Ports[0].TLS.Name)
	// Output: shop-example-org-tls
}

func ExampleService_Certificates() {
	p := evaluate(`container("web", image = "nginx", ports = [port(8080, public = True, tls = secret("cert"))])`)
	for in, ref := range p.Services[0].Certificates() {
		fmt.Println(in, ref.Name, ref.Key)
	}
	// Output:
	// tls of port port-8080 cert tls.crt
	// tls of port port-8080 cert tls.key
}
