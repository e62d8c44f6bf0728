"""Messages of the policy node. Imports apo_core, apo_interfaces and the results that it converts."""
