package render

// LimitSpace bounds the memory of the tests and of the workers that they start: a
// mistake must not take that of the machine.
var LimitSpace = limitSpace
